#!/usr/bin/env python3
"""docs/examples/read_runs.py: what it makes of runs is what elbo wrote, and its networks are elbo's.

usage: read_runs_test.py ELBO_BINARY. Prints one line for each check and closes with 'N passed, N failed'. Exit status 77:
NumPy is not installed. PyTorch and matplotlib are used where they are there.
"""

import json
import os
import pathlib
import subprocess
import sys

from program import check, elbo, finish, work_in_a_folder_of_its_own

try:
    import numpy as np
except ImportError:
    print("skipped: numpy not found")
    sys.exit(77)
SCRIPT = pathlib.Path(__file__).resolve().parent.parent / "docs" / "examples" / "read_runs.py"
sys.path.insert(0, str(SCRIPT.parent))
import read_runs

work_in_a_folder_of_its_own("elbo-read-runs-")
rng = np.random.default_rng(7)
x = (rng.normal(size=(200, 5)) @ rng.normal(size=(5, 6)) + 3).astype("f4")
np.save("real.npy", x)


def script(*arguments):
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True)


def train(run, *options):
    trained = elbo("train", "--model", "mlp", "--latent", 2, "--epochs", 2, "--out", run, *options)
    check(f"{run} trains", trained.returncode == 0, trained.stderr)
    encoded = elbo("encode", run, "--out", f"{run}.npz")
    check(f"{run} encodes", encoded.returncode == 0, encoded.stderr)


train("real", "--data", "npy:real.npy", "--hidden", "7,4", "--activation", "tanh", "--standardize", "--validation", 0.2,
      "--validate-every", 1)
train("pixels", "--data", "digits", "--limit", 100, "--hidden", 8, "--likelihood", "bernoulli", "--preprocess", "scale",
      "--lr", "1e-3,3e-3")
train("logit", "--data", "digits", "--limit", 100, "--hidden", 8, "--likelihood", "diagonal")

# ---- models
check("a run's models, with its best", list(read_runs.models("real")) == ["best/model", "model"], list(read_runs.models("real")))
check("an ensemble's", list(read_runs.models("pixels")) == ["00", "01"], list(read_runs.models("pixels")))
best = json.load(open("pixels/members/members.json"))["best"]
check("the one that elbo takes unless told", read_runs.best_name("pixels") == f"{best:02}" and read_runs.best_name("real") == "model")
for run in ("real", "pixels", "logit"):
    done = script(run, "--check", f"{run}.npz")
    check(f"{run}: decodes as elbo does", done.returncode == 0 and "off by" in done.stdout, done.stdout + done.stderr)
done = script("pixels", "--check", "pixels.npz", "--model", f"{1 - best:02}")
check("another member's decoder is told apart", done.returncode == 1, done.stdout + done.stderr)

model = read_runs.models("real")["model"]
vae, encoded = read_runs.MlpVae(model), np.load("real.npz")
how = model.card["preprocessing"]
mean, variance = vae.encode((x[encoded["rows"]].astype(float) - how["mean"]) / how["scale"])
check("encodes as elbo does", np.abs(mean - encoded["means"]).max() < 1e-5 and np.abs(variance - encoded["variances"]).max() < 1e-5,
      f"{np.abs(mean - encoded['means']).max()}, {np.abs(variance - encoded['variances']).max()}")
elbo("train", "--data", "npy:real.npy", "--latent", 2, "--epochs", 1, "--out", "linear")
try:
    read_runs.MlpVae(read_runs.Model("linear/model.safetensors"))
    check("a linear VAE is no MLP", False)
except ValueError as error:
    check("a linear VAE is no MLP", "linear/model.safetensors is no MLP VAE" in str(error), error)

# ---- tables
columns = read_runs.metrics("pixels")
check("metrics.csv has a row for each epoch and member", columns["epoch"].tolist() == [1, 1, 2, 2] and columns["member"].tolist() == [0, 1, 0, 1])
check("what is not measured is nan", np.isnan(columns["sigma2"]).all() and np.isfinite(columns["elbo"]).all())
check("every figure has its numbers", read_runs.figure_names("real") and all(
    len(next(iter(read_runs.figure_data("real", name).values()))) > 0 for name in read_runs.figure_names("real")))
curve = read_runs.figure_data("real", "elbo")
said = read_runs.metrics("real")["elbo"]
check("the figure of the ELBO shows metrics.csv's", np.array_equal(curve["nats per data point"][curve["series"] == "training"], said), curve)

# ---- the program
done = script("real")
check("says what is in a run", done.returncode == 0 and f"ELBO {said[-1]:.3f} nats" in done.stdout and "figure elbo" in done.stdout,
      done.stdout + done.stderr)
done = script("pixels", "--plot", "pixels.png")
try:
    import matplotlib  # noqa: F401
    check("draws metrics.csv", done.returncode == 0 and os.path.getsize("pixels.png") > 1000, done.stderr)
except ImportError:
    check("says that drawing needs matplotlib", done.returncode == 1 and "pip install matplotlib" in done.stderr, done.stderr)
finish()
