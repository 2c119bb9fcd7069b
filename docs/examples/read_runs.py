#!/usr/bin/env python3
"""Reads what elbo leaves in a run directory: models, metrics.csv, and the numbers behind its figures.

  python3 read_runs.py RUN                    says what is in it
  python3 read_runs.py RUN --plot FILE.png    draws its metrics (needs matplotlib)
  python3 read_runs.py RUN --check FILE.npz   rebuilds the run's MLP VAE and compares with `elbo encode RUN --out FILE.npz`

Or import it: models(run), metrics(run), figure_data(run, name), MlpVae(model), and to_torch(model) for PyTorch. Needs
NumPy; safetensors (PyPI) is used where it is there.
"""
import argparse
import csv
import json
import pathlib
import sys

import numpy as np


# ---- models

class Model:
    """A .safetensors file: tensors by their names, and what the file says of itself."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.tensors, self.metadata = read_safetensors(self.path)
        self.card = json.loads(self.metadata.get("card", "{}"))  # data, preprocessing, elbo's version


def read_safetensors(path):
    try:
        from safetensors import safe_open
    except ImportError:  # the format is simple: a length, a header in JSON, the numbers
        kinds = {"F32": "<f4", "F64": "<f8", "U8": "u1", "I64": "<i8"}
        data = path.read_bytes()
        start = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(data[8:start])
        metadata = header.pop("__metadata__", {})
        return {name: np.frombuffer(data[start + t["data_offsets"][0]:start + t["data_offsets"][1]], kinds[t["dtype"]])
                .reshape(t["shape"]) for name, t in header.items()}, metadata
    with safe_open(path, "np") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}


def models(run):
    """The models of a run by the names of their files: "model", or "00", "01", ... of an ensemble; "best/..." are those
    that were best on the validation split, and an experiment's units come with the names of their folders."""
    run = pathlib.Path(run)
    found = {}
    for path in sorted(run.rglob("*.safetensors")):
        parts = path.relative_to(run).with_suffix("").parts
        if "checkpoint" not in parts:  # what resuming needs, and no model
            found["/".join(part for part in parts if part != "members")] = Model(path)
    return found


def best_name(run):
    """The model that elbo takes where none is named."""
    members = pathlib.Path(run) / "members" / "members.json"
    return f"{json.loads(members.read_text(encoding='utf-8'))['best']:02}" if members.exists() else "model"


ACTIVATIONS = {
    "none": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "softplus": lambda x: np.logaddexp(0, x),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "cbrt": np.cbrt,
    "cube": lambda x: x ** 3,
}


class MlpVae:
    """The encoder and decoder of a model of fully connected layers (`train --model mlp`), in float64."""

    def __init__(self, model):
        if model.metadata.get("model") != "mlp":
            raise ValueError(f"{model.path} is no MLP VAE; it says model = {model.metadata.get('model')!r}")
        self.weights = {name: value.astype(float) for name, value in model.tensors.items()}
        self.activations = {part: ACTIVATIONS[model.metadata[part + "_activation"]] for part in ("encoder", "decoder")}
        self.likelihood, self.card = model.metadata["likelihood"], model.card

    def layers(self, part):
        """decoder.0, decoder.1, ...: as many as there are."""
        return [f"{part}.{i}" for i in range(len(self.weights)) if f"{part}.{i}.weight" in self.weights]

    def layer(self, name, x):
        return x @ self.weights[name + ".weight"].T + self.weights[name + ".bias"]

    def encode(self, x):
        """Mean and variance of q(z|x), each (N, k); x (N, D) as the model sees it, preprocessed."""
        for name in self.layers("encoder"):
            x = self.activations["encoder"](self.layer(name, x))
        return self.layer("encoder.mean", x), np.exp(self.layer("encoder.log_variance", x))

    def decode(self, z):
        """The mean of p(x|z), (N, D), as the model sees it."""
        *hidden, last = self.layers("decoder")
        for name in hidden:
            z = self.activations["decoder"](self.layer(name, z))
        y = self.layer(last, z)
        return ACTIVATIONS["sigmoid"](y) if self.likelihood == "bernoulli" else y

    def in_units_of_the_data(self, y):
        """Undoes the preprocessing: intensities from 0 to 1 of pixels, the numbers of anything else."""
        how, data = self.card["preprocessing"], self.card["data"]
        if "scale" in how:
            y = y * np.array(how["scale"]) + np.array(how["mean"])
        if how["kind"] == "logit":
            return (ACTIVATIONS["sigmoid"](y) - how["alpha"]) / (1 - 2 * how["alpha"])
        return y / 255 if how["kind"] == "none" and data["pixels"] and not data["binary"] else y


def to_torch(model):
    """The decoder of an MLP VAE as a torch.nn.Sequential, with the weights of the file: z (N, k) -> (N, D)."""
    from torch import nn, tensor
    kinds = {"none": nn.Identity, "relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "elu": nn.ELU, "softplus": nn.Softplus,
             "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}
    vae = MlpVae(model)
    parts, names = [], vae.layers("decoder")
    for i, name in enumerate(names):
        weight, bias = (np.array(model.tensors[f"{name}.{part}"]) for part in ("weight", "bias"))
        layer = nn.Linear(weight.shape[1], weight.shape[0]).to(tensor(weight).dtype)
        layer.load_state_dict({"weight": tensor(weight), "bias": tensor(bias)})
        parts += [layer, kinds[model.metadata["decoder_activation"]]()] if i + 1 < len(names) else [layer]
    if vae.likelihood == "bernoulli":
        parts.append(nn.Sigmoid())
    return nn.Sequential(*parts)


# ---- tables

def read_table(path):
    """The columns of a CSV file by name: float arrays where all of a column are numbers (nan and inf, too), else text."""
    with open(path, newline="", encoding="utf-8") as file:
        header, *rows = [row for row in csv.reader(file) if row]  # gnuplot parts series by empty lines
    columns = {}
    for name, values in zip(header, zip(*rows) if rows else [()] * len(header)):
        try:
            columns[name] = np.array([float(value) for value in values])
        except ValueError:
            columns[name] = np.array(values)
    return columns


def metrics(run):
    """metrics.csv: a row for each epoch and member; ELBO, KL and log-likelihood in nats per data point."""
    return read_table(pathlib.Path(run) / "metrics.csv")


def figure_names(run):
    return sorted(path.stem for path in (pathlib.Path(run) / "figures").glob("*.csv"))


def figure_data(run, name):
    """What a figure shows: x, then y, by the names of its axes; then what else there is, such as "series"."""
    return read_table(pathlib.Path(run) / "figures" / f"{name}.csv")


# ---- the program

def describe(run):
    result = json.loads((pathlib.Path(run) / "result.json").read_text(encoding="utf-8"))
    print(f"{run}: elbo {result['command']}")
    for name, model in models(run).items():
        numbers = sum(value.size for value in model.tensors.values())
        print(f"  model {name}: {model.metadata.get('model', 'of another kind')}, {numbers} numbers in {len(model.tensors)} tensors, "
              f"trained on {model.card.get('data', {}).get('name', 'data that it does not name')}")
    if (pathlib.Path(run) / "metrics.csv").exists():
        columns = metrics(run)
        for member in np.unique(columns["member"]):
            at = np.flatnonzero(columns["member"] == member)[-1]
            print(f"  member {member:.0f} after epoch {columns['epoch'][at]:.0f}: ELBO {columns['elbo'][at]:.3f} nats per data point")
    for name in figure_names(run):
        columns = figure_data(run, name)
        x, y, *_ = columns
        print(f"  figure {name}: {y} over {x}, {len(columns[x])} points in {len(set(columns.get('series', [''])))} series")


def plot(run, path):
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    columns = metrics(run)
    shown = [name for name in ("elbo", "kl", "sigma2") if name in columns]
    figure, axes = pyplot.subplots(len(shown), sharex=True, squeeze=False)
    for axis, name in zip(axes[:, 0], shown):
        for member in np.unique(columns["member"]):
            of_member = columns["member"] == member
            axis.plot(columns["epoch"][of_member], columns[name][of_member], label=f"member {member:.0f}")
        axis.set_ylabel(name if name == "sigma2" else f"{name}, nats per data point")
    axes[0, 0].legend()
    axes[-1, 0].set_xlabel("epoch")
    figure.savefig(path)


def check(run, encoded, member):
    """Largest difference between decoder(E z) here and in what `elbo encode` wrote, relative to the largest number."""
    model = models(run)[member or best_name(run)]
    vae = MlpVae(model)
    with np.load(encoded) as file:
        means, expected = file["means"].astype(float), file["reconstructions"]
    expected = expected.reshape(len(expected), -1)
    decoded = vae.decode(means)
    difference = np.abs(vae.in_units_of_the_data(decoded) - expected).max() / (1 + np.abs(expected).max())
    print(f"{model.path}: reconstructions of {len(means)} points, off by {difference:.1e} in NumPy", end="")
    worst = difference
    try:
        import torch
    except ImportError:
        print("; PyTorch is not installed")
    else:
        with torch.no_grad():
            again = to_torch(model)(torch.tensor(means.astype("f4"))).double().numpy()
        difference = np.abs(again - decoded).max() / (1 + np.abs(decoded).max())
        print(f", and by {difference:.1e} in PyTorch")
        worst = max(worst, difference)
    return worst < 1e-4


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run")
    parser.add_argument("--plot", metavar="FILE.png")
    parser.add_argument("--check", metavar="FILE.npz")
    parser.add_argument("--model", help="of several models the one to check, by its name")
    options = parser.parse_args()
    if options.check:
        sys.exit(0 if check(options.run, options.check, options.model) else 1)
    if options.plot:
        try:
            plot(options.run, options.plot)
        except ImportError:
            sys.exit("--plot needs matplotlib, which is not installed: pip install matplotlib")
    else:
        describe(options.run)


if __name__ == "__main__":
    main()
