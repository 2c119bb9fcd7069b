#!/usr/bin/env python3
"""Convolutional VAEs from the command line: training, resuming, ensembles, pictures, factors, the collapse experiment.

usage: conv_cli_test.py ELBO_BINARY. Prints one line for each check and closes with 'N passed, N failed'.
"""

import json
import os

from program import check, elbo, finish, rejects, work_in_a_folder_of_its_own

work_in_a_folder_of_its_own("elbo-conv-cli-")


def read(path):
    with open(path, "rb") as file:
        return file.read()


small = ["train", "--model", "conv", "--threads", 1, "--channels", 4, "--latent", 3, "--batch", 32]

# ---- batch normalisation's averages are part of a run that is resumed
digits = [*small, "--network", "asperti", "--data", "digits", "--limit", 200, "--lr", 1e-3]
whole = elbo(*digits, "--epochs", 4, "--out", "whole", "--json")
check("train --model conv runs", whole.returncode == 0, whole.stderr)
metrics = json.loads(whole.stdout)["metrics"]
check("the row identity holds", abs(metrics["row_identity_gap"]) < 0.05, metrics["row_identity_gap"])
check("convolutions are named in the provenance", json.loads(whole.stdout)["provenance"]["convolutions"])
elbo(*digits, "--epochs", 2, "--out", "half")
further = elbo("train", "--resume", "half", "--epochs", 4)
check("a resumed run equals an unbroken one", further.returncode == 0 and
      read("whole/model.safetensors") == read("half/model.safetensors"), further.stderr)
again = json.loads(elbo("evaluate", "whole", "--threads", 1, "--json").stdout)["metrics"]
check("evaluate finds the same numbers", abs(again["elbo"] - metrics["elbo"]) < 1e-6 * abs(metrics["elbo"]))

# ---- an ensemble, and its members alone
three = [*digits, "--sigma2", "1,0.1", "--epochs", 2]
check("an ensemble trains", elbo(*three, "--out", "both").returncode == 0)
alone = elbo(*three, "--only-member", 1, "--out", "alone")
check("a member alone gives the same model", alone.returncode == 0 and
      read("both/members/01.safetensors") == read("alone/model.safetensors"), alone.stderr)

# ---- images with factors, in colour and grey
run = elbo(*small, "--data", "sprites", "--limit", 150, "--epochs", 1, "--likelihood", "bernoulli", "--out", "sprites", "--json")
check("sprites train", run.returncode == 0, run.stderr)
run = elbo("evaluate", "sprites", "--json")
check("and have a mutual information gap", run.returncode == 0 and 0 <= json.loads(run.stdout)["metrics"]["mig"] <= 1, run.stderr)
check("faces train", elbo(*small, "--data", "faces", "--limit", 100, "--epochs", 1, "--out", "faces").returncode == 0)
for picture in (["sample"], ["reconstruct"], ["traverse"], ["interpolate"]):
    for run in ("sprites", "faces"):
        drawn = elbo(picture[0], run)
        check(f"elbo {picture[0]} {run}", drawn.returncode == 0, drawn.stderr)
plane = elbo("interpolate", "faces", "--plane", 0, 1, 2, "--side", 3)
check("elbo interpolate --plane", plane.returncode == 0, plane.stderr)

# ---- the experiment
run = elbo("collapse", "--model", "conv", "--data", "faces", "--limit", 80, "--channels", 2, "--latent", 4, "--sigma2", "1,0.1", "--lr",
           1e-3, "--members", 1, "--epochs", 2, "--annealed", "--annealing-epochs", 2, "--out", "collapse", "--json")
check("collapse --model conv runs", run.returncode == 0, run.stderr)
check("and draws its report", os.path.exists("collapse/report.html") and b"higgins, 2 channels" in read("collapse/report.html"))
plan = elbo("collapse", "--model", "conv", "--data", "faces", "--limit", 80, "--dry-run")
check("its plan is the paper's: k = 500, ten sigma^2 fixed and learned, four rates, five trials",
      plan.returncode == 0 and "Trains 400 models of 1.14 million" in plan.stdout, plan.stdout)

# ---- bad input
for what, options, word in (("an unknown network", ["--network", "resnet"], "higgins, asperti"),
                            ("a network for images of another size", ["--network", "asperti"], "28 x 28"),
                            ("hidden layers", ["--hidden", "8"], "--hidden"), ("no channels", ["--channels", "0"], "--channels")):
    rejects(what, "train", "--model", "conv", "--data", "sprites", "--limit", 20, *options, "--out", "never", mentions=[word])
rejects("data that are no images", "train", "--model", "conv", "--data", "ppca", "--out", "never", mentions=["ppca"])
rejects("a network's name for a dense model", "train", "--model", "mlp", "--data", "digits", "--network", "higgins", mentions=["--network"])
rejects("an unknown model", "train", "--model", "transformer", mentions=["linear, mlp, conv"])
check("and writes nothing", not os.path.exists("never"))

finish()
