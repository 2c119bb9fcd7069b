#!/usr/bin/env python3
"""NumPy as the oracle of `elbo ppca`: the same .npy file in, the same numbers out.

    tests/numpy_oracle.py ELBO_BINARY

Writes .npy files of several element types and orders, of dimensions far apart in scale, far from zero, and more
than there are points, runs `elbo ppca --data npy:FILE --latent 3 --json`
on each and compares the maximum likelihood, sigma^2 and the eigenvalues with NumPy's to 1e-6 relative.
Exit status 0: they agree; 1: they do not; 77: skipped, NumPy is not installed. Without a binary only
NumPy's two ways to the likelihood are compared with each other.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

try:
    import numpy as np
except ImportError:
    print("skipped: numpy not found")
    sys.exit(77)

LATENT = 3
TOLERANCE = 1e-6  # relative


def make_data(points=500, dimensions=12):
    """Points (N, D) with a few strong directions, an offset, and noise."""
    random = np.random.default_rng(7)
    directions = random.normal(size=(dimensions, 5)) * np.array([4.0, 3.0, 2.0, 1.0, 0.5])
    latents = random.normal(size=(points, 5))
    return 10 + latents @ directions.T + 0.3 * random.normal(size=(points, dimensions))


def ppca(x, latent):
    """The maximum-likelihood solution of Tipping and Bishop, its likelihood taken from the density itself."""
    points, dimensions = x.shape
    centred = x - x.mean(axis=0)
    # By the data's singular values: a covariance matrix would lose dimensions beside much wider ones.
    _, singular, vectors = np.linalg.svd(centred, full_matrices=False)
    rank = np.linalg.matrix_rank(centred)
    values, vectors = np.zeros(dimensions), vectors.T
    values[:rank] = singular[:rank] ** 2 / points
    sigma2 = values[latent:].mean()
    weights = vectors[:, :latent] * np.sqrt(values[:latent] - sigma2)
    model = weights @ weights.T + sigma2 * np.eye(dimensions)
    sign, log_determinant = np.linalg.slogdet(model)
    assert sign > 0
    distances = np.einsum("nd,nd->n", centred, np.linalg.solve(model, centred.T).T)
    log_likelihood = -0.5 * (dimensions * np.log(2 * np.pi) + log_determinant + distances.mean())
    return {"log_likelihood": log_likelihood, "sigma2": sigma2, "eigenvalues": values, "rank": rank}


def closed_form_log_likelihood(solution, latent):
    """The same maximum from the eigenvalues alone."""
    values, dimensions = solution["eigenvalues"], len(solution["eigenvalues"])
    return -0.5 * (
        dimensions * np.log(2 * np.pi)
        + np.log(values[:latent]).sum()
        + (dimensions - latent) * np.log(solution["sigma2"])
        + dimensions
    )


def relative_error(got, expected):
    got, expected = np.atleast_1d(np.asarray(got, float)), np.atleast_1d(expected)
    if got.shape != expected.shape:
        return np.inf
    error = np.max(np.abs(got - expected) / np.where(expected == 0, 1e-9 * np.abs(expected).max(), np.abs(expected)))
    return error if np.isfinite(error) else np.inf


def run_elbo(binary, path):
    command = [binary, "ppca", "--data", f"npy:{path}", "--latent", str(LATENT)]
    command += ["--preprocess", "none", "--json"]
    # In a directory of its own, so that whatever the run writes goes away with it.
    done = subprocess.run(command, capture_output=True, text=True, cwd=pathlib.Path(path).parent)
    if done.returncode != 0:
        print(f"FAILED: {' '.join(command)} ended with status {done.returncode}: {done.stderr.strip()}")
        sys.exit(1)
    return json.loads(done.stdout)["metrics"]


def main():
    x = make_data()
    solution = ppca(x, LATENT)
    error = relative_error(closed_form_log_likelihood(solution, LATENT), solution["log_likelihood"])
    print(f"numpy, density against closed form: relative error {error:.1e}")
    if error > 1e-12:
        print("FAILED: the oracle contradicts itself")
        return 1
    if len(sys.argv) < 2:
        return 0

    binary = str(pathlib.Path(sys.argv[1]).resolve())
    worst = 0.0
    with tempfile.TemporaryDirectory() as directory:
        for name, array in {
            "f8": x,
            "f8-fortran": np.asfortranarray(x),
            "f4": x.astype("<f4"),
            "i8": np.round(100 * x).astype("<i8"),
            "u1": np.clip(np.round(8 * x), 0, 255).astype("u1"),
            "wide": x * np.array([1e7] + 11 * [1]),
            "wide-across": (x * np.array([1e7] + 11 * [1])) @ np.linalg.qr(x[:12])[0],
            "far": x + 1e8,
            "flat": x @ np.diag(np.arange(12) < 7),
            "few": np.tile(x[:34], (1, 20)) + np.random.default_rng(2).normal(size=(34, 240)),
            "few-wide": np.tile(x[:34], (1, 20)) * np.array([1e7] + 239 * [1])
                        + np.random.default_rng(2).normal(size=(34, 240)),
        }.items():
            path = pathlib.Path(directory) / f"{name}.npy"
            np.save(path, array)
            metrics, expected = run_elbo(binary, path), ppca(array.astype(float), LATENT)
            expected["log_likelihood"] = closed_form_log_likelihood(expected, LATENT)
            for metric, value in expected.items():
                error = relative_error(metrics.get(metric, np.nan), value)
                worst = max(worst, error)
                verdict = "" if error <= TOLERANCE else "  FAILED"
                print(f"{name:12} {metric:16} relative error {error:.1e}{verdict}")
    return 0 if worst <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
