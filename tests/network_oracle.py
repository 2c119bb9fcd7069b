#!/usr/bin/env python3
"""Another implementation as the oracle of trained networks: the same model file and data in, the same numbers out.

usage: network_oracle.py ELBO_BINARY

Trains small deep VAEs of each likelihood, reads model.safetensors with a few lines of its own, and evaluates the
network in NumPy: KL of every unit, active units, variance law, squared error of the reconstructions, the pixels of
pictures, the mutual information gap. Where PyTorch is installed, the file is also loaded into a plain torch.nn.Module
with load_state_dict, strictly, which must give NumPy's means and reconstructions. Exit status 77: NumPy is not installed.
"""

import json
import struct
import os
import sys
import zlib

from program import check, elbo, finish, rejects, work_in_a_folder_of_its_own

try:
    import numpy as np
except ImportError:
    print("skipped: numpy not found")
    sys.exit(77)
from model_file import weights_of
try:
    import torch
except ImportError:
    torch = None


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


def read_png(path):
    """A PNG of 8 bits a channel, without interlacing, as (height, width, channels)."""
    with open(path, "rb") as file:
        data = file.read()
    at, packed = 8, b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", body[:10])
        packed += body if kind == b"IDAT" else b""
        at += length + 12
    channels = {0: 1, 2: 3}[colour]
    assert depth == 8
    lines = np.frombuffer(zlib.decompress(packed), "u1").reshape(height, 1 + width * channels)
    image = np.zeros((height + 1, width + 1, channels), int)  # with a border of zeros, which the filters want
    for y in range(height):
        kind, line = lines[y, 0], lines[y, 1:].reshape(width, channels).astype(int)
        for x in range(width):
            left, above, corner = image[y + 1, x], image[y, x + 1], image[y, x]
            near = left + above - corner
            order = [abs(near - left), abs(near - above), abs(near - corner)]
            paeth = np.where((order[0] <= order[1]) & (order[0] <= order[2]), left, np.where(order[1] <= order[2], above, corner))
            image[y + 1, x + 1] = (line[x] + [0, left, above, (left + above) // 2, paeth][kind]) % 256
    return image[1:, 1:]


def mutual_information_gap(codes, factors, bins=20):
    """Of codes (N, k) and factors (N, F): the gap of each factor, and the information (F, k) in nats."""
    def entropy(*columns):
        _, counts = np.unique(np.stack(columns), axis=1, return_counts=True)
        p = counts / counts.sum()
        return -(p * np.log(p)).sum()

    binned = [np.digitize(code, np.histogram_bin_edges(code, bins)[1:-1]) for code in codes.T]
    told = np.array([[entropy(v) + entropy(code) - entropy(v, code) for code in binned] for v in factors.T])
    best = np.sort(told)[:, ::-1]
    return (best[:, 0] - best[:, 1]) / [entropy(v) for v in factors.T], told


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
    weights = weights_of(f"{run}/model.safetensors")
    relu = "tanh" not in options
    activation = (lambda x: np.maximum(x, 0)) if relu else np.tanh
    x = np.load(f"{data}.npy").astype(float)
    mean, log_variance = encode(weights, x, activation)
    unit_kl = 0.5 * (mean**2 + np.expm1(log_variance) - log_variance)
    output = decode(weights, mean, activation)
    prediction = sigmoid(output) if likelihood == "bernoulli" else output
    expected = {"kl": unit_kl.sum(1).mean(), "kl_per_dim": unit_kl.mean(0), "mse": ((x - prediction) ** 2).mean(),
                "active_units": (mean.var(0) > 0.01).sum(), "variance_law": mean.var(0) + np.exp(log_variance).mean(0)}
    if likelihood != "bernoulli":
        expected["encoder_entropy"] = 0.5 * (3 * np.log(2 * np.pi * np.e) + log_variance.sum(1).mean())
        expected["latent_second_moments"] = (mean**2 + np.exp(log_variance)).mean(0)
    if likelihood == "gaussian":
        expected["decoder_entropy"] = 6 * (np.log(2 * np.pi * np.e) + weights["log_sigma2"][0])
        expected["entropy_sum"] = expected["encoder_entropy"] - expected["decoder_entropy"] - 1.5 * np.log(2 * np.pi * np.e)
    for name, value in expected.items():
        error = np.max(np.abs(np.asarray(ours[name]) - value) / (np.abs(value) + 1e-3))
        check(f"{what}: {name} is NumPy's", error < 1e-4, f"relative error {error}")
    spread = (mean - mean.mean(0)) ** 2 + np.exp(log_variance)
    of_units = {"mean_of_mean": mean.mean(0), "variance_of_mean": mean.var(0), "mean_variance": np.exp(log_variance).mean(0),
                "law": spread.mean(0), "law_standard_error": spread.std(0, ddof=1) / len(x) ** 0.5, "kl": unit_kl.mean(0)}
    for name, value in of_units.items():
        found = np.array(ours["units"][name])
        check(f"{what}: {name} of each unit is NumPy's", np.allclose(found, value, rtol=1e-4, atol=1e-6), f"{found}, {value}")
    again = json.loads(elbo("evaluate", run, "--json").stdout)["metrics"]
    same = ["units", "unit_gain_points", "active_by_gain", "criteria_at_odds"]
    check(f"{what}: evaluate says the same of each unit", [again[name] for name in same] == [ours[name] for name in same])
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

# ---- pictures and factors: small grey images of two factors, seen by a network whose codes NumPy computes too
shade, place = np.meshgrid(np.arange(10), np.arange(6))
factors = np.stack([shade.ravel(), place.ravel(), 0 * place.ravel()], 1).repeat(30, 0)  # the third does not vary
images = np.zeros((len(factors), 6, 5)) + rng.normal(size=(len(factors), 1, 1)) * 0.02
images[np.arange(len(factors)), factors[:, 1]] += 0.2 + 0.08 * factors[:, :1]
np.save("images.npy", images.astype("f4"))
np.save("factors.npy", factors)
trained = elbo("train", "--model", "mlp", "--data", "npy:images.npy", "--hidden", "24", "--latent", 4, "--sigma2", 0.01, "--fix-sigma2",
               "--epochs", 60, "--lr", 0.003, "--batch", 50, "--out", "pictures")
check("a model of small images trains", trained.returncode == 0, trained.stderr)
weights = weights_of("pictures/model.safetensors")
relu = lambda x: np.maximum(x, 0)
x = np.load("images.npy").reshape(len(images), -1).astype(float)
mean, log_variance = encode(weights, x, relu)
unit_kl = (0.5 * (mean**2 + np.expm1(log_variance) - log_variance)).mean(0)


def shown(name, columns, scale):
    """The images of a picture, from the middle of each of their pixels: (n, 30)."""
    picture = read_png(f"drawn/{name}.png")[..., 0]
    height, width = 6 * scale + 2, 5 * scale + 2
    rows = (picture.shape[0] + 2) // height
    return np.stack([picture[r * height : r * height + 6 * scale, c * width : c * width + 5 * scale][scale // 2 :: scale, scale // 2 :: scale]
                     for r in range(rows) for c in range(columns)]).reshape(rows * columns, -1)


def is_shown(codes, name, columns):
    expected = np.clip(decode(weights, codes, relu), 0, 1) * 255
    found = shown(name, columns, 10)
    return found.shape == expected.shape and np.abs(found - expected).max() < 0.51 and expected.max() - expected.min() > 100


corners = (17, 1234, 800)
run = elbo("interpolate", "pictures", "--plane", *corners, "--side", 5, "--out", "drawn")
z1, z2, z3 = mean[list(corners)]
plane = np.array([z1 + right / 4 * (z2 - z1) + down / 4 * (z3 - z1) for down in range(5) for right in range(5)])
check("a plane is NumPy's: three points at three corners, z2 + z3 - z1 at the fourth", run.returncode == 0 and
      np.allclose(plane[-1], z2 + z3 - z1) and is_shown(plane, "plane", 5), run.stderr)
run = elbo("traverse", "pictures", "--point", 40, "--units", 3, "--factors", "factors.npy", "--out", "drawn", "--json")
units = json.loads(run.stdout)["units"] if run.returncode == 0 else []
order = [unit["unit"] for unit in units]
check("traversals are of the units with the largest KL", order == list(np.argsort(-unit_kl)[:3]) and
      all(abs(unit["kl"] - unit_kl[unit["unit"]]) < 1e-4 for unit in units), run.stderr)
moved = np.repeat(mean[40][None], 30, 0)
for row, unit in enumerate(order):
    moved[10 * row : 10 * row + 10, unit] = np.linspace(-3, 3, 10)
check("and each moves from -3 to 3", order and is_shown(moved, "traversals", 10))

run = elbo("collapse", "--data", "npy:images.npy", "--hidden", "24", "--latent", 4, "--sigma2", "10,0.01", "--epochs", 60, "--lr", 0.003,
           "--members", 1, "--batch", 50, "--out", "collapse")
check("collapse runs on small images", run.returncode == 0, run.stderr)
os.rename("collapse/figures/reconstructions_fixed.png", "drawn/reconstructions_fixed.png")
rows = shown("reconstructions_fixed", 10, 10).reshape(3, 10, 30)
original = np.clip(x[:10], 0, 1) * 255
noisy, precise = ((row - original) ** 2 for row in rows[1:])
check("its reconstructions have the data in the top row, then the models in the order of their sigma^2", np.abs(rows[0] - original).max() < 0.51 and
      4 * precise.mean() < noisy.mean() and precise.mean() < 100, f"squared errors {noisy.mean()}, {precise.mean()}")

gaps, told = mutual_information_gap(mean, factors[:, :2])
check("they are labelled with the factor that they tell most about", order and all(
    unit["factor"] == f"factor {told[:, unit['unit']].argmax()}" and abs(unit["information"] - told[:, unit["unit"]].max()) < 0.005 and
    abs(unit["entropy"] - np.log([10, 6][told[:, unit["unit"]].argmax()])) < 1e-9 for unit in units), units)
run = elbo("evaluate", "pictures", "--factors", "factors.npy", "--json")
found = json.loads(run.stdout)["metrics"] if run.returncode == 0 else {"mig": 0, "mig_per_factor": {}}
# A code beside the edge of a bin may fall on the other side here: 1 point of 1800 is worth 0.002.
check("the mutual information gap is NumPy's", abs(found["mig"] - gaps.mean()) < 0.002 and gaps.mean() > 0.05 and
      all(abs(found["mig_per_factor"][f"factor {f}"] - gaps[f]) < 0.003 for f in (0, 1)), f"{found['mig_per_factor']}, NumPy {gaps}")
check("a factor that does not vary has none", found["mig_per_factor"].get("factor 2", 0) is None, run.stderr)
run = elbo("evaluate", "pictures", "--json")
check("without factors there is no gap", run.returncode == 0 and "mig" not in json.loads(run.stdout)["metrics"])
np.save("few.npy", factors[:100])
np.save("real_factors.npy", factors.astype(float))
rejects("factors of other points", "evaluate", "pictures", "--factors", "few.npy", mentions=["--factors", "(1800, F)"])
rejects("factors that are no integers", "evaluate", "pictures", "--factors", "real_factors.npy", mentions=["--factors", "f64"])
rejects("a plane through two points", "interpolate", "pictures", "--plane", 1, 2, mentions=["--plane"])
rejects("a plane through a point that is not there", "interpolate", "pictures", "--plane", 1, 2, 1800, mentions=["1800"])
rejects("a plane and lines at once", "interpolate", "pictures", "--plane", 1, 2, 3, "--points", "1,2", mentions=["--plane"])
rejects("a side without a plane", "interpolate", "pictures", "--side", 5, mentions=["--plane"])

finish()
