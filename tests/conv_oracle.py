#!/usr/bin/env python3
"""Another implementation as the oracle of trained convolutional networks.

usage: conv_oracle.py ELBO_BINARY

Trains a small convolutional VAE of each design, reads model.safetensors, and evaluates the network in NumPy, one tap of
each kernel after another: KL of every unit, active units, variance law, squared error of the reconstructions. Where
PyTorch is installed, the file is also loaded into a torch.nn.Module, strictly, which must give NumPy's means and
reconstructions. Exit status 77: NumPy is not installed.
"""

import json
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
from model_file import weights_of


def layer(weights, name, x):
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


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


work_in_a_folder_of_its_own("elbo-conv-")
np.save("images.npy", np.random.default_rng(3).normal(size=(300, 7, 7)).repeat(4, 1).repeat(4, 2).astype("f4"))
for network in ("higgins", "asperti"):
    run = f"conv-{network}"
    trained = elbo("train", "--model", "conv", "--network", network, "--channels", 4, "--latent", 3, "--data", "npy:images.npy",
                   "--epochs", 3, "--lr", 0.003, "--batch", 50, "--out", run, "--json")
    if trained.returncode != 0:
        check(f"{run} trains", False, trained.stderr)
        continue
    weights = weights_of(f"{run}/model.safetensors")
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
