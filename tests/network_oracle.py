#!/usr/bin/env python3
"""Another implementation as the oracle of trained networks: the same model file and data in, the same numbers out.

usage: network_oracle.py ELBO_BINARY

Trains small deep VAEs of each likelihood, dense and convolutional, reads model.safetensors with a few lines of its own, and evaluates the
network in NumPy: KL of every unit, active units, variance law, squared error of the reconstructions. Where PyTorch is
installed, the file is also loaded into a plain torch.nn.Module with load_state_dict, strictly, which must give NumPy's
means and reconstructions. Exit status 77: NumPy is not installed.
"""

import json
import struct
import sys

from program import check, elbo, finish, work_in_a_folder_of_its_own

try:
    import numpy as np
except ImportError:
    print("skipped: numpy not found")
    sys.exit(77)
try:
    import torch
except ImportError:
    torch = None


def read_safetensors(path):
    with open(path, "rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        header, body = json.loads(file.read(length)), file.read()
    return {name: np.frombuffer(body[slice(*entry["data_offsets"])], "<f4").reshape(entry["shape"]).astype(float)
            for name, entry in header.items() if name != "__metadata__"}


def layer(weights, name, x):
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def encode(weights, x, activation):
    i = 0
    while f"encoder.{i}.weight" in weights:
        x = activation(layer(weights, f"encoder.{i}", x))
        i += 1
    return layer(weights, "encoder.mean", x), layer(weights, "encoder.log_variance", x)


def decode(weights, z, activation):
    last = max(int(name.split(".")[1]) for name in weights if name.startswith("decoder.") and name[8].isdigit())
    for i in range(last):
        z = activation(layer(weights, f"decoder.{i}", z))
    return layer(weights, f"decoder.{last}", z)


def torch_module(weights, activation):
    """The network as someone would write it in PyTorch; its parameters have the names that the file must have."""
    def linear(name):
        out, inside = weights[f"{name}.weight"].shape
        return torch.nn.Linear(inside, out)

    class Encoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.count = 0
            while f"encoder.{self.count}.weight" in weights:
                self.add_module(str(self.count), linear(f"encoder.{self.count}"))
                self.count += 1
            self.mean, self.log_variance = linear("encoder.mean"), linear("encoder.log_variance")

        def forward(self, x):
            for i in range(self.count):
                x = activation(getattr(self, str(i))(x))
            return self.mean(x), self.log_variance(x)

    class Decoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.count = 0
            while f"decoder.{self.count}.weight" in weights:
                self.add_module(str(self.count), linear(f"decoder.{self.count}"))
                self.count += 1
            if "decoder.log_variance.weight" in weights:
                self.log_variance = linear("decoder.log_variance")

        def forward(self, z):
            for i in range(self.count):
                z = getattr(self, str(i))(z)
                z = activation(z) if i + 1 < self.count else z
            return z

    class Vae(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder = Encoder(), Decoder()
            if "log_sigma2" in weights:
                self.log_sigma2 = torch.nn.Parameter(torch.zeros(1))

    return Vae().double()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def convolve(weights, name, x, stride, padding):
    """x (N, H, W, C_in) with the file's weight (C_out, C_in, KH, KW), one tap of the kernel after another."""
    kernel = weights[f"{name}.weight"]
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    high, wide = ((size - taps) // stride + 1 for size, taps in zip(x.shape[1:3], kernel.shape[2:]))
    y = weights[f"{name}.bias"] + np.zeros((len(x), high, wide, len(kernel)))
    for r in range(kernel.shape[2]):
        for t in range(kernel.shape[3]):
            y += x[:, r:r + stride * high:stride, t:t + stride * wide:stride][:, :high, :wide] @ kernel[:, :, r, t].T
    return y


def convolve_back(weights, name, x, stride, padding, size):
    """The transposed convolution to size x size pixels; the file's weight is (C_in, C_out, KH, KW)."""
    kernel = weights[f"{name}.weight"]
    n, high, wide, _ = x.shape
    y = np.zeros((n, size + 2 * padding + stride, size + 2 * padding + stride, kernel.shape[1]))
    for r in range(kernel.shape[2]):
        for t in range(kernel.shape[3]):
            y[:, r:r + stride * high:stride, t:t + stride * wide:stride] += x @ kernel[:, :, r, t]
    return y[:, padding:padding + size, padding:padding + size] + weights[f"{name}.bias"]


def normalise(weights, name, x):
    return ((x - weights[f"{name}.running_mean"]) / np.sqrt(weights[f"{name}.running_var"] + 1e-5)
            * weights[f"{name}.weight"] + weights[f"{name}.bias"])


def relu(x):
    return np.maximum(x, 0)


def encode_images(weights, x, network):
    """Means and log variances of images (N, 28, 28, 1), for the two networks as they are for this size."""
    if network == "higgins":
        for i, (stride, padding) in enumerate(((2, 1), (2, 1), (2, 1), (1, 0))):
            x = relu(convolve(weights, f"encoder.{i}", x, stride, padding))
    else:
        x = relu(normalise(weights, "encoder.1", convolve(weights, "encoder.0", x, 2, 1)))
        x = convolve(weights, "encoder.3", convolve(weights, "encoder.2", x, 1, 1), 2, 1)
        x = convolve(weights, "encoder.5", relu(normalise(weights, "encoder.4", x)), 2, 1)
        x = relu(normalise(weights, "encoder.7", convolve(weights, "encoder.6", x, 1, 1)))
        x = np.pad(convolve(weights, "encoder.8", x, 2, 0), ((0, 0), (0, 1), (0, 1), (0, 0)))
        x = relu(normalise(weights, "encoder.10", convolve(weights, "encoder.9", x, 1, 0)))
        x = convolve(weights, "encoder.11", x, 1, 0)
    x = x.reshape(len(x), -1)
    return layer(weights, "encoder.mean", x), layer(weights, "encoder.log_variance", x)


def decode_images(weights, z, network):
    x = convolve(weights, "decoder.0", z[:, None, None, :], 1, 0)
    if network == "higgins":
        for i, (stride, padding, size) in enumerate(((1, 0, 4), (2, 1, 7), (2, 1, 14), (2, 1, 28)), 1):
            x = convolve_back(weights, f"decoder.{i}", relu(x), stride, padding, size)
    else:
        x = relu(normalise(weights, "decoder.2", convolve_back(weights, "decoder.1", x, 1, 0, 2)))
        x = convolve_back(weights, "decoder.3", x, 1, 0, 3)[:, :2, :2]
        x = relu(normalise(weights, "decoder.5", convolve_back(weights, "decoder.4", x, 2, 0, 4)))
        x = convolve_back(weights, "decoder.7", convolve_back(weights, "decoder.6", x, 1, 1, 4), 2, 1, 7)
        x = convolve_back(weights, "decoder.9", relu(normalise(weights, "decoder.8", x)), 2, 1, 14)
        x = relu(normalise(weights, "decoder.11", convolve_back(weights, "decoder.10", x, 1, 1, 14)))
        x = convolve_back(weights, "decoder.12", x, 2, 1, 28)
    return x.reshape(len(x), -1)


def compare(what, ours, mean, log_variance, x, prediction, tolerance):
    unit_kl = 0.5 * (mean**2 + np.expm1(log_variance) - log_variance)
    expected = {"kl": unit_kl.sum(1).mean(), "kl_per_dim": unit_kl.mean(0), "mse": ((x - prediction) ** 2).mean(),
                "active_units": (mean.var(0) > 0.01).sum(), "variance_law": mean.var(0) + np.exp(log_variance).mean(0)}
    for name, value in expected.items():
        error = np.max(np.abs(np.asarray(ours[name]) - value) / (np.abs(value) + 1e-3))
        check(f"{what}: {name} is NumPy's", error < tolerance, f"relative error {error}")


work_in_a_folder_of_its_own("elbo-network-")
rng = np.random.default_rng(3)
points = rng.normal(size=(400, 3)) @ rng.normal(size=(3, 12)) + 0.2 * rng.normal(size=(400, 12))
np.save("real.npy", points.astype("f4"))
np.save("unit.npy", sigmoid(points).astype("f4"))

for likelihood, data, options in (("gaussian", "real", ["--hidden", "16,8", "--activation", "relu"]),
                                  ("gaussian", "real", ["--hidden", "none"]),
                                  ("diagonal", "real", ["--hidden", "16,8", "--activation", "tanh"]),
                                  ("bernoulli", "unit", ["--hidden", "10", "--activation", "relu"])):
    what = f"{likelihood} {' '.join(options)}"
    run = f"{likelihood}{'-'.join(options)}"
    trained = elbo("train", "--model", "mlp", "--data", f"npy:{data}.npy", "--likelihood", likelihood, *options, "--latent", 3,
                   "--epochs", 40, "--lr", 0.003, "--batch", 50, "--out", run, "--json")
    if trained.returncode != 0:
        check(f"{what} trains", False, trained.stderr)
        continue
    ours = json.loads(trained.stdout)["metrics"]
    weights = read_safetensors(f"{run}/model.safetensors")
    rectified = "tanh" not in options
    activation = relu if rectified else np.tanh
    x = np.load(f"{data}.npy").astype(float)
    mean, log_variance = encode(weights, x, activation)
    output = decode(weights, mean, activation)
    prediction = sigmoid(output) if likelihood == "bernoulli" else output
    compare(what, ours, mean, log_variance, x, prediction, 1e-4)
    if likelihood == "gaussian":
        check(f"{what}: sigma2 is the file's", abs(ours["sigma2"] / np.exp(weights["log_sigma2"][0]) - 1) < 1e-6)
    if torch:
        module = torch_module(weights, torch.relu if rectified else torch.tanh)
        module.load_state_dict({name: torch.tensor(value) for name, value in weights.items()}, strict=True)
        with torch.no_grad():
            theirs, _ = module.encoder(torch.tensor(x))
            again = module.decoder(theirs)
        check(f"{what}: PyTorch's module gives the same means and reconstructions",
              np.allclose(theirs.numpy(), mean, rtol=1e-9, atol=1e-9) and np.allclose(again.numpy(), output, rtol=1e-9, atol=1e-9))

np.save("images.npy", rng.normal(size=(300, 7, 7)).repeat(4, 1).repeat(4, 2).astype("f4"))
for network in ("higgins", "asperti"):
    run = f"conv-{network}"
    trained = elbo("train", "--model", "conv", "--network", network, "--channels", 4, "--latent", 3, "--data", "npy:images.npy",
                   "--epochs", 3, "--lr", 0.003, "--batch", 50, "--out", run, "--json")
    if trained.returncode != 0:
        check(f"{run} trains", False, trained.stderr)
        continue
    weights = read_safetensors(f"{run}/model.safetensors")
    x = np.load("images.npy").astype(float)[..., None]
    mean, log_variance = encode_images(weights, x, network)
    output = decode_images(weights, mean, network)
    compare(run, json.loads(trained.stdout)["metrics"], mean, log_variance, x.reshape(len(x), -1), output, 1e-3)
    if torch:
        from torch_conv_vae import load
        module = load(f"{run}/model.safetensors").double().eval()
        with torch.no_grad():
            theirs, _ = module.encode(torch.tensor(x.reshape(len(x), -1)))
            again = module.decode(theirs)
        check(f"{run}: PyTorch's module gives the same means and reconstructions",
              np.allclose(theirs.numpy(), mean, rtol=1e-9, atol=1e-9) and np.allclose(again.numpy(), output, rtol=1e-9, atol=1e-9))

finish()
