"""Loads what own_vae trained, and says what its ELBO should be: python3 check.py points.npy FOLDER

With one latent dimension both ln p(x) and the ELBO are integrals that a sum gives to many digits; neither needs a
line of elbo. Needs NumPy, and the package safetensors of PyPI where it is there (the format is read in six lines else).
"""
import json
import sys

import numpy as np

try:
    from safetensors import safe_open

    def read(path):
        with safe_open(path, "np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()
except ImportError:
    def read(path):
        data = open(path, "rb").read()
        end = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(data[8:end])
        metadata = header.pop("__metadata__", {})
        return {name: np.frombuffer(data[end + t["data_offsets"][0]:end + t["data_offsets"][1]], "<f4").reshape(t["shape"])
                for name, t in header.items()}, metadata

x = np.load(sys.argv[1]).astype(float)
model, metadata = read(sys.argv[2] + "/model.safetensors")
model = {name: value.astype(float) for name, value in model.items()}


def layer(name, x):
    return x @ model[name + ".weight"].T + model[name + ".bias"]


def decode(z):  # (..., 1) -> (..., 3)
    return layer("decoder.1", np.tanh(layer("decoder.0", z)))


def log_likelihood(mean):  # of every point under every mean (..., 3): (..., N) where the means broadcast to points
    t = (x - mean) / np.exp(model["log_scale"])
    return (-t - 2 * np.logaddexp(0, -t) - model["log_scale"]).sum(-1)


hidden = np.tanh(layer("encoder.body.0", x))
mean, log_variance = layer("encoder.mean", hidden), layer("encoder.log_variance", hidden)
reconstructed = np.abs(decode(mean) - np.load(sys.argv[2] + "/means.npy")).max()

# ln p(x) = ln of the integral of p(x|z) N(z; 0, 1), for each point.
z, step = np.linspace(-10, 10, 4001, retstep=True)
terms = log_likelihood(decode(z[:, None])[:, None, :]) - z[:, None] ** 2 / 2
top = terms.max(0)
exact = top + np.log(np.exp(terms - top).sum(0) * step / np.sqrt(2 * np.pi))

# The ELBO, its expectation over q by Gauss and Hermite.
nodes, weights = np.polynomial.hermite_e.hermegauss(64)
expected = sum(w * log_likelihood(decode(mean + np.exp(log_variance / 2) * e)) for e, w in zip(nodes, weights / weights.sum()))
kl = (0.5 * (mean ** 2 + np.exp(log_variance) - 1 - log_variance)).sum(-1)
elbo = expected - kl

estimate = float(metadata["elbo"])
print(f"reconstructions differ by {reconstructed:.0e} from those of elbo")
print(f"ELBO {elbo.mean():.4f} nats per data point (own_vae: {estimate:.4f}), ln p(x) {exact.mean():.4f}")
assert reconstructed < 1e-4
assert abs(estimate - elbo.mean()) < 0.01, "the ELBO that own_vae printed is another"
assert (elbo < exact).all(), "an ELBO above ln p(x)"
print("own_vae is what it says")
