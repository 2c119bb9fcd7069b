#!/usr/bin/env python3
"""elbo encode: what NumPy opens is what NumPy computes from the model file, point by point.

usage: encode_cli_test.py ELBO_BINARY. Prints one line for each check and closes with 'N passed, N failed'. Exit status 77:
NumPy is not installed.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import time
import zipfile

from program import BINARY, check, elbo, finish, rejects, work_in_a_folder_of_its_own

try:
    import numpy as np
except ImportError:
    print("skipped: numpy not found")
    sys.exit(77)
from model_file import weights_of

work_in_a_folder_of_its_own("elbo-encode-")
rng = np.random.default_rng(5)
EVERY = ["means", "variances", "reconstructions", "expected_log_likelihood", "kl", "elbo", "rows"]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def layer(weights, name, x):
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def forward(weights, x):
    """Mean and log variance of q(z|x), and the decoder as a function of z; one hidden layer each, ReLU."""
    hidden = np.maximum(layer(weights, "encoder.0", x), 0)
    decode = lambda z: layer(weights, "decoder.1", np.maximum(layer(weights, "decoder.0", z), 0))
    return layer(weights, "encoder.mean", hidden), layer(weights, "encoder.log_variance", hidden), decode


def train(run, data, *options):
    trained = elbo("train", "--data", data, "--out", run, *options)
    check(f"{run} trains", trained.returncode == 0, trained.stderr)


def encode(*arguments, out):
    """The arrays of an .npz, and the JSON that was printed."""
    done = elbo("encode", *arguments, "--out", out, "--json")
    if done.returncode != 0:
        check(f"encode {' '.join(map(str, arguments))}", False, done.stderr)
        return None, None
    with np.load(out) as file:  # without pickle
        return {name: file[name] for name in file.files}, json.loads(done.stdout)


def close(a, b, tolerance=1e-4):
    return a.shape == b.shape and np.abs(a - b).max() <= tolerance * (1 + np.abs(b).max())


def agrees_with_evaluate(what, run, arrays, *options):
    """Means over the points are what evaluate prints, to the rounding of single precision."""
    metrics = json.loads(elbo("evaluate", run, "--json", *options).stdout)["metrics"]
    for name in ("elbo", "kl"):
        check(f"{what}: the mean of {name} is evaluate's", abs(arrays[name].mean() - metrics[name]) <= 2e-6 * (1 + abs(metrics[name])),
              f"{arrays[name].mean()} and {metrics[name]}")
    check(f"{what}: elbo is the difference of its terms", np.array_equal(arrays["elbo"], arrays["expected_log_likelihood"] - arrays["kl"]))


# ---- a small network, in three parts of the data
x = rng.normal(size=(1200, 2)) @ rng.normal(size=(2, 7)) + 0.3 * rng.normal(size=(1200, 7))
np.save("real.npy", x.astype("f4"))
x = x.astype("f4").astype(float)
small = ["--model", "mlp", "--hidden", "9", "--latent", 3, "--epochs", 8, "--lr", 0.003, "--batch", 50]
train("deep", "npy:real.npy", *small)
arrays, said = encode("deep", out="deep.npz")
check("all arrays are there but for labels, which these data have none of", list(arrays) == EVERY, list(arrays))
check("their types are the model's, doubles for what is in nats, and integers", [arrays[name].dtype.str for name in EVERY] ==
      ["<f4", "<f4", "<f4", "<f8", "<f8", "<f8", "<i8"])
mean, log_variance, decode = forward(weights_of("deep/model.safetensors"), x)
check("means are NumPy's", close(arrays["means"], mean))
check("variances are NumPy's", close(arrays["variances"], np.exp(log_variance)))
check("reconstructions are NumPy's", close(arrays["reconstructions"], decode(mean)))
check("KL is NumPy's", close(arrays["kl"], 0.5 * (mean**2 + np.expm1(log_variance) - log_variance).sum(1)))
check("rows count the points", np.array_equal(arrays["rows"], np.arange(1200)))
agrees_with_evaluate("deep", "deep", arrays)
check("the result says the same", said["command"] == "encode" and abs(said["metrics"]["elbo"] - arrays["elbo"].mean()) < 1e-9 and
      said["metrics"]["arrays"]["means"] == {"type": "f32", "shape": [1200, 3], "meaning": "of q(z|x), (N, k)"})

sigma2 = np.exp(weights_of("deep/model.safetensors")["log_sigma2"][0])
draws = mean + np.exp(log_variance / 2) * rng.normal(size=(1000, *mean.shape))
log_p = -0.5 * (7 * np.log(2 * np.pi * sigma2) + ((x - decode(draws)) ** 2).sum(2) / sigma2)
many, _ = encode("deep", "--samples", 1000, out="many.npz")
off = (many["expected_log_likelihood"] - log_p.mean(0)) / (log_p.std(0) * np.sqrt(2 / 1000))
check("with many draws E_q ln p(x|z) of each point is NumPy's, by its own draws", np.abs(off).max() < 6 and 0.8 < off.std() < 1.2,
      f"{np.abs(off).max()} standard errors at most, {off.std()} typically")
check("nothing else changes with the draws", all(np.array_equal(arrays[name], many[name]) for name in ("means", "kl", "reconstructions")))

# ---- the forms it comes in
with zipfile.ZipFile("deep.npz") as archive:
    check("the archive is whole, and stored", archive.testzip() is None and all(i.compress_type == zipfile.ZIP_STORED for i in archive.infolist()))
run = elbo("encode", "deep", "--out", "new/folder/")
check("a name that ends in / is a folder of .npy files", run.returncode == 0 and
      all(np.array_equal(np.load(f"new/folder/{name}.npy"), arrays[name]) for name in EVERY), run.stderr)
check("with nothing else in it", sorted(os.listdir("new/folder")) == sorted(f"{name}.npy" for name in EVERY))
run = elbo("encode", "deep", "--format", "npy", "--out", "plain", "--only", "kl,means")
check("--only chooses, and --format", run.returncode == 0 and sorted(os.listdir("plain")) == ["kl.npy", "means.npy"], run.stderr)
run = elbo("encode", "deep")
check("without --out it is encoded.npz in the run", run.returncode == 0 and open("deep/encoded.npz", "rb").read() == open("deep.npz", "rb").read(),
      run.stderr)
check("of which the table says what is in it", "reconstructions" in run.stdout and "deep/encoded.npz" in run.stdout, run.stdout)
rejects("a file that is there", "encode", "deep", mentions=["deep/encoded.npz", "nothing is written over"])
rejects("a folder that holds anything", "encode", "deep", "--out", "plain/", mentions=["plain", "not empty"])
rejects("a name that does not say what it is", "encode", "deep", "--out", "codes", mentions=["--out", "FILE.npz", "FOLDER/"])
rejects("a name that says something else than --format", "encode", "deep", "--out", "codes.npz", "--format", "npy", mentions=["--format"])
rejects("an array that is none", "encode", "deep", "--only", "kl,codes", "--out", "never.npz", mentions=["'codes'", "means"])
rejects("labels of data without", "encode", "deep", "--only", "labels", "--out", "never.npz", mentions=["labels"])
rejects("no draws", "encode", "deep", "--samples", 0, "--out", "never.npz", mentions=["--samples"])
rejects("other data", "encode", "deep", "--data", "ppca", "--preprocess", "none", "--out", "never/x.npz", mentions=["dimensions"])
check("and none of them leaves anything", not os.path.exists("never.npz") and not os.path.exists("never") and not os.path.exists("codes"))
arrays, _ = encode("deep", "--limit", 70, "--only", "rows,kl", out="limit.npz")
check("--limit takes the first points", list(arrays) == ["kl", "rows"] and len(arrays["kl"]) == 70)

# ---- other models and data
train("linear", "npy:real.npy", "--latent", 2, "--batch", 50, "--epochs", 20)
arrays, said = encode("linear", out="linear.npz")
weights = weights_of("linear/model.safetensors")
mean = (x - weights["mean"]) @ weights["encoder.weight"].T
variance, sigma2 = np.exp(weights["log_variance"]), np.exp(weights["log_sigma2"].item())
again = mean @ weights["decoder.weight"].T + weights["mean"]
exact = -0.5 * (7 * np.log(2 * np.pi * sigma2) + (((x - again) ** 2).sum(1) + (weights["decoder.weight"]**2 @ variance).sum()) / sigma2)
check("a linear VAE's likelihood term is exact", close(arrays["expected_log_likelihood"], exact, 1e-10) and said["metrics"]["z_samples"] == 0)
check("and its posterior", close(arrays["means"], mean, 1e-10) and close(arrays["variances"], np.tile(variance, (1200, 1)), 1e-10))
check("and its reconstructions", close(arrays["reconstructions"], again, 1e-6))
agrees_with_evaluate("linear", "linear", arrays)

far = rng.normal(size=(300, 7)) + 1e6
np.save("far.npy", far)
train("far", "npy:far.npy", *small, "--standardize")
arrays, _ = encode("far", out="far.npz")
y = (far - far.mean(0)) / far.std(0)
expected = forward(weights_of("far/model.safetensors"), y)
expected = expected[2](expected[0]) * far.std(0) + far.mean(0)
check("standardised data come back in their own units, with the digits that they have", arrays["reconstructions"].dtype == np.float64 and
      np.abs(arrays["reconstructions"] - expected).max() < 1e-5, np.abs(arrays["reconstructions"] - expected).max())
agrees_with_evaluate("far", "far", arrays)

pixels = rng.integers(0, 256, size=(90, 4, 5)).astype("u1")
np.save("pixels.npy", pixels)
train("logit", "npy:pixels.npy", *small, "--preprocess", "logit", "--alpha", 0.01)
arrays, _ = encode("logit", out="logit.npz")
_, _, decode = forward(weights_of("logit/model.safetensors"), np.zeros((1, 20)))
expected = ((sigmoid(decode(arrays["means"].astype(float))) - 0.01) / 0.98).reshape(90, 4, 5, 1)
check("of images the reconstructions are images, with the preprocessing undone", close(arrays["reconstructions"], expected))
agrees_with_evaluate("logit", "logit", arrays)
np.save("unit.npy", sigmoid(x).astype("f4"))
train("bernoulli", "npy:unit.npy", *small, "--likelihood", "bernoulli")
arrays, _ = encode("bernoulli", out="bernoulli.npz")
mean, _, decode = forward(weights_of("bernoulli/model.safetensors"), np.load("unit.npy").astype(float))
check("of a Bernoulli likelihood they are probabilities", close(arrays["reconstructions"], sigmoid(decode(mean))))
agrees_with_evaluate("bernoulli", "bernoulli", arrays)
train("diagonal", "npy:real.npy", *small, "--likelihood", "diagonal")
agrees_with_evaluate("diagonal", "diagonal", encode("diagonal", out="diagonal.npz")[0])

train("ensemble", "digits", "--model", "mlp", "--hidden", "8", "--latent", 2, "--epochs", 1, "--limit", 200, "--lr", "1e-3,3e-3")
arrays, _ = encode("ensemble", "--member", 0, out="member.npz")
agrees_with_evaluate("a member", "ensemble", arrays, "--member", 0)
subset, _ = encode("ensemble", "--member", 0, "--data", "digits", "--limit", 200, "--subset", 50, out="subset.npz")
check("of a subset, rows and labels are those of the points drawn", len(set(subset["rows"])) == 50 and list(subset["rows"]) != list(range(50)) and
      arrays["labels"].dtype == np.uint8 and np.array_equal(subset["labels"], arrays["labels"][subset["rows"]]) and
      np.allclose(subset["means"], arrays["means"][subset["rows"]], atol=0.5), str(subset["rows"]))
train("conv", "faces", "--model", "conv", "--channels", 2, "--latent", 4, "--limit", 40, "--epochs", 1)
arrays, _ = encode("conv", out="conv.npz")
check("a convolutional model gives images", arrays["reconstructions"].shape == (40, 64, 64, 3) and arrays["means"].shape == (40, 4))
agrees_with_evaluate("conv", "conv", arrays)

# ---- what it takes, and what is left of it when it cannot end
np.save("many.npy", rng.integers(0, 256, size=(20000, 784)).astype("u1"))


# A process begins with the memory of the one that starts it, so this is a small one.
MEASURE = "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:], stdout=2); " \
          "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024 if done.returncode == 0 else 'nan')"


def peak(only):
    """MiB that a run takes at most."""
    run = subprocess.run([sys.executable, "-c", MEASURE, BINARY, "encode", "ensemble", "--member", "0", "--data", "npy:many.npy", "--threads", "1",
                          "--only", only, "--out", f"peak-{only}.npz"], capture_output=True, text=True)
    return float(run.stdout)


taken = peak("reconstructions") - peak("kl")
check("63 MB of reconstructions are never in memory together", os.path.getsize("peak-reconstructions.npz") > 62e6 and taken < 25, f"{taken} MiB")


def limited():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))


before = sorted(os.listdir("."))
for out in ("full.npz", "full/"):
    run = elbo("encode", "ensemble", "--member", 0, "--data", "npy:many.npy", "--out", out, preexec_fn=limited)
    check(f"a full disk is an error: {out}", run.returncode == 2 and "free some space" in run.stderr and not run.stdout, run.stderr)
process = subprocess.Popen([BINARY, "encode", "ensemble", "--member", "0", "--data", "npy:many.npy", "--samples", "1000000", "--out", "stopped.npz"],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
while process.poll() is None and not any(name.startswith("stopped.npz.tmp") for name in os.listdir(".")):
    time.sleep(0.01)
process.send_signal(signal.SIGINT)
out, said = process.communicate(timeout=120)
check("Ctrl-C ends it with its status", process.returncode == 130 and not out and "nothing was kept" in said, f"{process.returncode} {said}")
check("and nothing is left of these", sorted(os.listdir(".")) == before, set(os.listdir(".")) - set(before))

finish()
