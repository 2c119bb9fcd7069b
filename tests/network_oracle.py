#!/usr/bin/env python3
"""Another implementation as the oracle of trained networks: the same model file and data in, the same numbers out.

usage: network_oracle.py ELBO_BINARY

Trains small deep VAEs of each likelihood, reads model.safetensors with a few lines of its own, and evaluates the
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
    relu = "tanh" not in options
    activation = (lambda x: np.maximum(x, 0)) if relu else np.tanh
    x = np.load(f"{data}.npy").astype(float)
    mean, log_variance = encode(weights, x, activation)
    unit_kl = 0.5 * (mean**2 + np.expm1(log_variance) - log_variance)
    output = decode(weights, mean, activation)
    prediction = sigmoid(output) if likelihood == "bernoulli" else output
    expected = {"kl": unit_kl.sum(1).mean(), "kl_per_dim": unit_kl.mean(0), "mse": ((x - prediction) ** 2).mean(),
                "active_units": (mean.var(0) > 0.01).sum(), "variance_law": mean.var(0) + np.exp(log_variance).mean(0)}
    for name, value in expected.items():
        error = np.max(np.abs(np.asarray(ours[name]) - value) / (np.abs(value) + 1e-3))
        check(f"{what}: {name} is NumPy's", error < 1e-4, f"relative error {error}")
    if likelihood == "gaussian":
        check(f"{what}: sigma2 is the file's", abs(ours["sigma2"] / np.exp(weights["log_sigma2"][0]) - 1) < 1e-6)
    if torch:
        module = torch_module(weights, torch.relu if relu else torch.tanh)
        module.load_state_dict({name: torch.tensor(value) for name, value in weights.items()}, strict=True)
        with torch.no_grad():
            theirs, _ = module.encoder(torch.tensor(x))
            again = module.decoder(theirs)
        check(f"{what}: PyTorch's module gives the same means and reconstructions",
              np.allclose(theirs.numpy(), mean, rtol=1e-9, atol=1e-9) and np.allclose(again.numpy(), output, rtol=1e-9, atol=1e-9))

finish()
