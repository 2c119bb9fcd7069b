#!/usr/bin/env python3
"""elbo evaluate, about q(z): what it says is what NumPy makes of the means and variances that encode writes.

usage: aggregate_cli_test.py ELBO_BINARY. Prints one line for each check and closes with 'N passed, N failed'. Exit status
77: NumPy is not installed.
"""

import json
import math
import sys

from program import check, elbo, finish, rejects, work_in_a_folder_of_its_own

try:
    import numpy as np
except ImportError:
    print("skipped: numpy not found")
    sys.exit(77)

work_in_a_folder_of_its_own("elbo-aggregate-")
rng = np.random.default_rng(7)


def henze_zirkler(z):
    """The statistic and its p-value, after Henze & Zirkler 1990, with all pairs at once."""
    n, d = z.shape
    b2 = ((2 * d + 1) * n / 4) ** (2 / (d + 4)) / 2
    centred = z - z.mean(0)
    y = centred @ np.linalg.inv(np.linalg.cholesky(centred.T @ centred / n)).T
    own = (y**2).sum(1)
    pairs = own[:, None] + own - 2 * y @ y.T
    hz = np.exp(-b2 / 2 * pairs).sum() / n - 2 * (1 + b2) ** (-d / 2) * np.exp(-b2 / (2 * (1 + b2)) * own).sum() + n * (1 + 2 * b2) ** (-d / 2)
    a, w = 1 + 2 * b2, (1 + b2) * (1 + 3 * b2)
    mean = 1 - a ** (-d / 2) * (1 + d * b2 / a + d * (d + 2) * b2**2 / (2 * a**2))
    variance = (2 * (1 + 4 * b2) ** (-d / 2) + 2 * a**-d * (1 + 2 * d * b2**2 / a**2 + 3 * d * (d + 2) * b2**4 / (4 * a**4))
                - 4 * w ** (-d / 2) * (1 + 3 * d * b2**2 / (2 * w) + d * (d + 2) * b2**4 / (2 * w**2)))
    spread = math.sqrt(math.log1p(variance / mean**2))
    return hz, math.erfc((math.log(hz) - math.log(mean) + spread**2 / 2) / (spread * math.sqrt(2))) / 2


def train(run, data, *options):
    trained = elbo("train", "--data", data, "--latent", 2, "--threads", 1, "--out", run, *options)
    check(f"{run} trains", trained.returncode == 0, trained.stderr)


def evaluate(*arguments):
    done = elbo("evaluate", *arguments, "--json")
    if done.returncode != 0:
        check(f"evaluate {' '.join(map(str, arguments))}", False, done.stderr)
    result = json.loads(done.stdout)
    return result["metrics"], result["provenance"]["units"]


def encoded(run):
    done = elbo("encode", run, "--out", f"{run}.npz")
    check(f"{run} is encoded", done.returncode == 0, done.stderr)
    with np.load(f"{run}.npz") as file:
        return file["means"].astype(float), file["variances"].astype(float)


def agrees(a, b, tolerance=1e-4):
    return a is not None and abs(a - b) <= tolerance * (1 + abs(b))


points = rng.normal(size=(600, 2)) @ rng.normal(size=(2, 5)) + 0.3 * rng.normal(size=(600, 5))
np.save("plane.npy", points.astype("f4"))
np.save("heaps.npy", (0.15 * rng.normal(size=(600, 5)) + rng.integers(0, 2, size=(600, 1)) * 3).astype("f4"))
train("deep", "npy:plane.npy", "--model", "mlp", "--hidden", "12", "--epochs", 40, "--lr", 0.005, "--batch", 50)
train("linear", "npy:plane.npy", "--epochs", 30, "--polish", 200)
train("heaps", "npy:heaps.npy", "--model", "mlp", "--hidden", "12", "--epochs", 40, "--lr", 0.005, "--batch", 50)

for run in ("deep", "linear", "heaps"):
    metrics, units = evaluate(run)
    means, variances = encoded(run)
    check(f"{run}: all 600 points are looked at", metrics["aggregate_points"] == 600, metrics["aggregate_points"])
    check(f"{run}: the mean of q(z) is NumPy's", agrees(metrics["aggregate_mean_distance"], np.linalg.norm(means.mean(0))))
    covariance = np.cov(means.T, bias=True) + np.diag(variances.mean(0))
    check(f"{run}: its covariance is NumPy's", agrees(metrics["aggregate_covariance_distance"], np.linalg.norm(covariance - np.eye(2))))
    hz, p = henze_zirkler(means)
    check(f"{run}: Henze-Zirkler of the means is NumPy's", agrees(metrics["aggregate_means_hz"], hz), f"{metrics['aggregate_means_hz']} and {hz}")
    check(f"{run}: and so its p-value", agrees(metrics["aggregate_means_hz_p_value"], p), f"{metrics['aggregate_means_hz_p_value']} and {p}")
    ours = [name for name in metrics if name.startswith(("aggregate_", "samples_"))]
    check(f"{run}: everything is explained", len(ours) == 13 and all(name in units for name in ours if name != "aggregate_means_hz_p_value"), ours)
    check(f"{run}: the settings of smooth k-NN are told", "k = 1, alpha = 1, 100 against 100 points" in units["aggregate_knn"])

# ---- a model that fits, and one whose q(z) cannot be the prior
good, bad = evaluate("linear")[0], evaluate("heaps")[0]
check("a linear model at its optimum has the prior for q(z)", good["aggregate_hz_p_value"] > 0.01 and good["aggregate_mmd_p_value"] > 0.01 and
      good["aggregate_covariance_distance"] < 0.3 and abs(good["aggregate_knn"]) < 2, good)
check("and samples like the data", abs(good["samples_knn"]) < 2, good["samples_knn"])
check("two heaps are no Gaussian", bad["aggregate_hz_p_value"] < 1e-3 and bad["aggregate_knn"] > 2 and bad["aggregate_mmd_p_value"] < 0.05, bad)
table = elbo("evaluate", "heaps").stdout
check("the table says so", all(words in table for words in ("q(z) of 600 points: Gaussian? (Henze-Zirkler)", "p < 0.001", "MMD² to the prior",
                                                           "samples against data, smooth k-NN")), table)
check("the linear model's table too", "smooth k-NN to the prior (0: alike)" in elbo("evaluate", "linear").stdout)
check("a second time gives the same", evaluate("heaps")[0] == bad)

# ---- how many points, and none
some, _ = evaluate("deep", "--aggregate-points", 50)
check("--aggregate-points takes so many", some["aggregate_points"] == 50 and some["aggregate_hz"] != evaluate("deep")[0]["aggregate_hz"])
check("nothing else depends on it", some["elbo"] == evaluate("deep")[0]["elbo"])
none, _ = evaluate("deep", "--aggregate-points", 0)
check("0 leaves it out", not any(name.startswith(("aggregate_", "samples_")) for name in none) and none["elbo"] == some["elbo"])
check("and its rows", "Henze" not in elbo("evaluate", "deep", "--aggregate-points", 0).stdout)
rejects("too many points for their pairs", "evaluate", "deep", "--aggregate-points", 5001, mentions=["--aggregate-points", "5000"])
rejects("one point, which has no pairs", "evaluate", "deep", "--aggregate-points", 1, mentions=["--aggregate-points", "pairs"])
few, _ = evaluate("deep", "--aggregate-points", 2)
check("of too few points there is no Henze-Zirkler", few["aggregate_hz"] is None and few["aggregate_mmd2"] is not None, few)

# ---- ln p(x) by importance sampling
bound, units = evaluate("deep", "--importance-samples", 400, "--importance-inflation", 2)
effective = bound["importance_effective_samples"]
check("effective samples are between 1 and all", 1 <= effective["least"] <= effective["median"] <= 400 and bound["importance_inflation"] == 2, effective)
check("enough of them make no warning", bound["importance_warning"] == "" and bound["importance_poorly_sampled"] <= 6, bound["importance_warning"])
check("the estimate lies above the ELBO", bound["importance_weighted_bound"] > bound["elbo"])
few = elbo("evaluate", "deep", "--importance-samples", 5, "--importance-inflation", 1.5)
check("too few samples are said to be so", "unreliable, probably too low: 600 of 600 points" in few.stdout and "fewer than 10 effective samples of 5" in few.stdout,
      few.stdout)
rejects("a factor of zero", "evaluate", "deep", "--importance-inflation", 0, mentions=["--importance-inflation"])

finish()
