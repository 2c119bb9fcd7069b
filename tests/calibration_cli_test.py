#!/usr/bin/env python3
"""elbo forecast, and train --choose-sigma2 law and --grow-latent, from the command line: the forecast against NumPy's
eigenvalues, decisions, interruptions, and what is refused.

usage: calibration_cli_test.py ELBO_BINARY. Prints one line for each check and closes with 'N passed, N failed'.
"""

import json
import math
import os
import shutil
import subprocess
import sys
import time

try:
    import numpy
except ImportError:
    print("skipped: there is no NumPy")
    sys.exit(77)

from program import BINARY, check, elbo, finish, rejects, work_in_a_folder_of_its_own

work_in_a_folder_of_its_own("elbo-calibration-")


def read(path):
    with open(path, "rb") as file:
        return file.read()


def metrics(run):
    return json.load(open(f"{run}/result.json"))["metrics"]


# ---- the forecast, of more points than dimensions and of fewer
for points, dimensions in ((400, 8), (5, 12)):
    random = numpy.random.RandomState(points)
    x = random.randn(points, dimensions) @ numpy.diag(1.6 * 0.7 ** numpy.arange(dimensions)) @ random.randn(dimensions, dimensions)
    numpy.save("x.npy", x)
    values = numpy.sort(numpy.linalg.eigvalsh(numpy.cov(x.T, bias=True)))[::-1]
    beta, k = 2.0, min(6, dimensions)
    sigma2 = [values[2] * 0.999 / beta, values[2] * 1.001 / beta]  # on both sides of the third eigenvalue's threshold
    out = f"forecast-{points}"
    run = elbo("forecast", "--data", "npy:x.npy", "--sigma2", ",".join(map(repr, map(float, sigma2))), "--beta", beta, "--latent", k,
               "--out", out, "--json")
    check(f"forecast runs on {points} points of {dimensions} dimensions", run.returncode == 0, run.stderr)
    found = json.loads(run.stdout)["metrics"]["forecasts"]
    check("a direction is active where its eigenvalue is above beta sigma^2", [f["active_units"] for f in found] == [3, 2] and
          found[0]["active"] == [True] * 3 + [False] * (k - 3), [f["active_units"] for f in found])
    for f, s in zip(found, sigma2):
        active = values[:k][values[:k] > beta * s]
        error = values.sum() - (active - beta * s).sum()
        kl = 0.5 * numpy.log(active / (beta * s)).sum()
        bound = -dimensions / 2 * math.log(2 * math.pi * s) - error / (2 * s) - kl
        check("KL, squared error and ELBO are NumPy's", abs(f["kl"] - kl) < 1e-9 and abs(f["squared_error"] - error) < 1e-9 * values.sum() and
              abs(f["elbo"] - bound) < 1e-8 * abs(bound), (f["kl"], kl, f["elbo"], bound))
    page = read(f"{out}/report.html").decode()
    check("the report has the curve and the table", "What a linear VAE would use" in page and "direction" in page and
          os.path.exists(f"{out}/figures/forecast.csv"))
    by_lambda = elbo("forecast", "--data", "npy:x.npy", "--lambda", repr(float(2 * sigma2[0])), "--beta", beta, "--latent", k, "--out", out + "-l",
                     "--json")
    check("--lambda is twice sigma^2", json.loads(by_lambda.stdout)["metrics"]["forecasts"] == found[:1], by_lambda.stderr)
rejects("a forecast for no sigma^2", "forecast", "--data", "digits", mentions=["--sigma2", "--lambda"])
rejects("sigma^2 and lambda together", "forecast", "--data", "digits", "--sigma2", 1, "--lambda", 1, mentions=["--lambda"])
rejects("more units than dimensions", "forecast", "--data", "npy:x.npy", "--sigma2", 1, "--latent", 13, "--out", "never", mentions=["--latent", "12"])
check("and nothing is written", not os.path.exists("never"))

# ---- choosing
small = ["train", "--model", "mlp", "--data", "digits", "--limit", 300, "--preprocess", "scale", "--batch", 50, "--hidden", "24", "--lr", 0.003,
         "--threads", 1]
asked = [*small, "--latent", 3, "--epochs", 4, "--scan-epochs", 8, "--choose-sigma2", "law", "--sigma2", "0.05,0.2,0.8", "--law-tolerance", 0.3,
         "--grow-latent"]
run = elbo(*asked, "--out", "chosen", "--json")
check("train --choose-sigma2 law --grow-latent runs", run.returncode == 0, run.stderr)
result = json.loads(run.stdout)
found = result["metrics"]["calibration"]
over = found["over_sigma2"]


def deviation(point):
    return point["models"][0]["law_deviation"]


def by_the_rule(points, tolerance):
    """The smallest from which on the law holds; else the nearest."""
    used = [point for point in points if deviation(point) is not None]
    chosen = None
    for point in reversed(used):
        if deviation(point) > tolerance:
            break
        chosen = point
    return (chosen or min(used, key=deviation))["sigma2"], chosen is not None


check("the curve is kept, with rising sigma^2", [point["sigma2"] for point in over] == [0.05, 0.2, 0.8] and
      all(point["latent"] == 3 for point in over), over)
check("the choice follows from the curve", (found["sigma2"], found["lawful"]) == by_the_rule(over, 0.3), found)
grown = found["over_latent"]
check("k doubles until units stay unused", [point["latent"] for point in grown] == [3 * 2**i for i in range(len(grown))] and
      all(point["models"][0]["in_use"] == point["latent"] for point in grown[:-1]) and
      grown[-1]["models"][0]["in_use"] < grown[-1]["latent"] == found["latent"] and found["sparse"], grown)
check("all at the sigma^2 that was chosen", all(point["sigma2"] == found["sigma2"] for point in grown))
check("the model is of the sigma^2 and the k that were chosen", abs(result["metrics"]["sigma2"] / found["sigma2"] - 1) < 1e-6 and
      len(result["metrics"]["kl_per_dim"]) == found["latent"], result["metrics"]["sigma2"])
plain = elbo(*small, "--latent", found["latent"], "--epochs", 4, "--sigma2", found["sigma2"], "--fix-sigma2", "--out", "plain")
check("it is the model that these options give, bit for bit", plain.returncode == 0 and
      read("plain/model.safetensors") == read("chosen/model.safetensors"), plain.stderr)
page = read("chosen/report.html").decode()
check("the report has the criterion and the curves", "What σ² is chosen by" in page and "What k is chosen by" in page and "from which on" in page)
check("of the short trainings there is a record and no checkpoint", os.path.exists("chosen/calibration/sigma2/metrics.csv") and
      not os.path.exists("chosen/calibration/sigma2/checkpoint"))
again = elbo("train", "--resume", "chosen", "--epochs", 6, "--json")
check("a decision once made is kept", again.returncode == 0 and json.loads(again.stdout)["metrics"]["calibration"] == found and
      len(read("chosen/metrics.csv").splitlines()) == 7, again.stderr)
shutil.rmtree("chosen")
elbo(*asked, "--out", "chosen", "--json")

# The values where none are given: eight, each twice the one before, around the data's variance per dimension.
run = elbo(*small, "--latent", 2, "--epochs", 1, "--scan-epochs", 8, "--choose-sigma2", "law", "--members", 2, "--out", "eight", "--json")
check("without --sigma2 there are eight values", run.returncode == 0, run.stderr)
over = json.loads(run.stdout)["metrics"]["calibration"]["over_sigma2"]
check("each twice the one before, with a model for each member",
      len(over) == 8 and all(abs(b["sigma2"] / a["sigma2"] - 2) < 0.02 and len(a["models"]) == 2 for a, b in zip(over, over[1:])),
      [point["sigma2"] for point in over])

# ---- broken off anywhere and resumed, it ends with the same bits
slow = [*small, "--latent", 3, "--epochs", 60, "--scan-epochs", 60, "--choose-sigma2", "law", "--sigma2", "0.05,0.2,0.8", "--law-tolerance", 0.3,
        "--grow-latent", "--checkpoint-seconds", 0]
unbroken = elbo(*slow, "--out", "unbroken")
check("a longer one is through", unbroken.returncode == 0, unbroken.stderr)
first_k = "calibration/k-3"
for where, seen in (("in the scan over sigma^2", "calibration/sigma2/checkpoint/state.safetensors"),
                    ("in the growth of k", f"{first_k}/checkpoint/state.safetensors"),
                    ("in the training", "checkpoint/state.safetensors")):
    broken = False
    for attempt in range(5):  # tried again where it was over too soon
        shutil.rmtree("broken", ignore_errors=True)
        process = subprocess.Popen([BINARY, *map(str, slow), "--out", "broken"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        while process.poll() is None and not os.path.exists(f"broken/{seen}"):
            time.sleep(0.001)
        process.kill()
        process.communicate()
        if broken := process.returncode < 0 and os.path.exists(f"broken/{seen}"):
            break
    resumed = elbo("train", "--resume", "broken", "--json")
    check(f"killed {where} and resumed, it ends with the same bits", broken and resumed.returncode == 0 and
          read("broken/model.safetensors") == read("unbroken/model.safetensors") and
          metrics("broken")["calibration"] == metrics("unbroken")["calibration"], resumed.stderr)

# ---- what is refused
choose = [*small, "--latent", 3, "--choose-sigma2", "law"]
grow = [*small, "--latent", 3, "--grow-latent"]
for what, arguments, words in (
        ("another criterion", [*small, "--choose-sigma2", "elbo"], ["--choose-sigma2"]),
        ("one sigma^2 to choose from", [*choose, "--sigma2", 0.1], ["--sigma2", "several"]),
        ("a sigma^2 that is learned", [*choose, "--learn-sigma2"], ["--learn-sigma2"]),
        ("a likelihood without sigma^2", [*choose, "--likelihood", "bernoulli"], ["--choose-sigma2", "bernoulli"]),
        ("a list of learning rates", [*choose, "--lr", "0.1,0.2"], ["--lr"]),
        ("a list of betas", [*grow, "--beta", "1,2"], ["--beta"]),
        ("annealing", [*choose, "--annealing", "linear"], ["--annealing"]),
        ("a capacity that changes", [*grow, "--penalty", "capacity"], ["--penalty"]),
        ("another method", [*choose, "--method", "lagging"], ["--method", "lagging"]),
        ("one member alone", [*choose, "--members", 2, "--only-member", 1], ["--only-member"]),
        ("growth at several sigma^2", [*grow, "--sigma2", "0.1,0.2"], ["--sigma2"]),
        ("epochs of no scan", [*small, "--scan-epochs", 3], ["--scan-epochs"]),
        ("a tolerance of no law", [*grow, "--law-tolerance", 0.2], ["--law-tolerance"])):
    rejects(what, *arguments, "--out", "never", mentions=words)
check("and nothing is written", not os.path.exists("never"))
rejects("the linear model", "train", "--data", "digits", "--choose-sigma2", "law", mentions=["--choose-sigma2", "deep"])
rejects("another criterion when resumed", "train", "--resume", "chosen", "--law-tolerance", 0.4, mentions=["--law-tolerance"])
run = elbo(*choose, "--sigma2", "50,100", "--epochs", 2, "--scan-epochs", 2, "--out", "collapsed")
check("a scan in which nothing is in use is an error that says so", run.returncode == 2 and "is a unit in use" in run.stderr, run.stderr)

finish()
