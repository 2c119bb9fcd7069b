#!/usr/bin/env python3
"""What becomes of numbers on their way to a model: offsets, scales, binarised bytes, --preprocess and --standardize.

usage: preprocessing_cli_test.py ELBO_BINARY. Prints one line for each check and closes with 'N passed, N failed'.
"""

import json
import math
import random
import struct

from program import check, elbo, finish, rejects, work_in_a_folder_of_its_own, write

work_in_a_folder_of_its_own("elbo-preprocessing-")


def npy(path, kind, rows):
    """Writes rows as a .npy file of 'f4', 'f8' or 'u1'."""
    code = {"f4": "f", "f8": "d", "u1": "B"}[kind]
    descr = "|u1" if kind == "u1" else "<" + kind
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': ({len(rows)}, {len(rows[0])}), }}"
    header = header.ljust(117) + "\n"
    numbers = [x for row in rows for x in row]
    write(path, b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() +
          struct.pack(f"<{len(numbers)}{code}", *numbers))
    return "npy:" + path


def metrics(run):
    return json.loads(run.stdout)["metrics"]


draw = random.Random(1)
mix = [[draw.gauss(0, 1) for _ in range(6)] for _ in range(2)]
points = []
for _ in range(300):
    z = [draw.gauss(0, 1), draw.gauss(0, 1)]
    points.append([z[0] * mix[0][j] + z[1] * mix[1][j] + 0.3 * draw.gauss(0, 1) for j in range(6)])
near = npy("near.npy", "f8", points)
far = npy("far.npy", "f8", [[x + 1e8 for x in row] for row in points])
far32 = npy("far32.npy", "f4", [[x + 1e8 for x in row] for row in points])
wide = npy("wide.npy", "f8", [[1e7 * row[0], *row[1:]] for row in points])

# ---- offsets
linear = ["--latent", 2, "--batch", 50, "--epochs", 60, "--json"]
of_near = metrics(elbo("train", "--data", near, *linear, "--out", "linear-near"))
of_far = metrics(elbo("train", "--data", far, *linear, "--out", "linear-far"))
check("an offset of 1e8 costs a linear VAE nothing", abs(of_near["elbo"] - of_far["elbo"]) < 1e-3,
      f"{of_near['elbo']} and {of_far['elbo']}")
again = metrics(elbo("evaluate", "linear-far", "--json"))
check("nor its model file", abs(again["elbo"] - of_far["elbo"]) < 1e-6, f"{again['elbo']} and {of_far['elbo']}")
shape = ["train", "--model", "mlp", "--hidden", 8, "--latent", 2, "--json"]
deep = [*shape, "--epochs", 3]
run = elbo(*deep, "--data", far, "--out", "deep-far")
check("deep VAEs say that f32 cannot hold such data, and what helps",
      "warning: dimension 0 of 'npy:far.npy' has mean 1e+08" in run.stderr and "--standardize" in run.stderr, run.stderr)
run = elbo(*deep, "--data", far32, "--out", "deep-far32")
check("or that the file has lost them already", "save the array in float64" in run.stderr, run.stderr)
run = elbo(*deep, "--data", wide, "--out", "deep-wide")
check("or that a dimension is too wide", "far from the 1 that weights and sigma^2 start for; use --standardize" in run.stderr,
      run.stderr)
run = elbo(*deep, "--data", near, "--out", "deep-near")
check("and nothing of other data", run.returncode == 0 and "warning" not in run.stderr, run.stderr)

# ---- standardised
moments = [(sum(column) / 300, math.sqrt(sum(x * x for x in column) / 300 - (sum(column) / 300) ** 2))
           for column in zip(*points)]
constant = -sum(math.log(deviation) for _, deviation in moments)
runs = {}
for name, data in (("near", near), ("far", far), ("wide", wide)):
    run = elbo(*deep, "--data", data, "--standardize", "--out", "standard-" + name)
    check(f"--standardize trains on {name}", run.returncode == 0 and "warning" not in run.stderr, run.stderr)
    runs[name] = metrics(run)
check("its log-Jacobian has a name", abs(runs["near"]["standardize_log_jacobian"] - constant) < 1e-9)
check("and is what the data's own units differ by",
      abs(runs["near"]["elbo_data_units"] - runs["near"]["elbo"] - constant) < 1e-9)
check("neither offset nor scale changes what is learned",
      all(abs(runs[name]["elbo"] - runs["near"]["elbo"]) < 1e-3 for name in ("far", "wide")), runs)
check("but a scale its own units", abs(runs["wide"]["elbo_data_units"] - runs["near"]["elbo_data_units"] +
                                       math.log(1e7)) < 1e-3)
exact = metrics(elbo("ppca", "--data", near, "--latent", 5, "--json"))["log_likelihood"]
standard = metrics(elbo("ppca", "--data", near, "--latent", 5, "--standardize", "--json"))
check("ppca of standardised data has it too", abs(standard["standardize_log_jacobian"] - constant) < 1e-9 and
      standard["log_likelihood_data_units"] < exact + 1)
level = npy("constant.npy", "f8", [[row[0], 0.1, row[1]] for row in points])
run = elbo("ppca", "--data", level, "--latent", 1, "--standardize", "--json")
check("a dimension that is constant is divided by nothing", run.returncode == 0 and metrics(run)["rank"] == 2 and
      abs(metrics(run)["eigenvalues"][0] + metrics(run)["eigenvalues"][1] - 2) < 1e-9, run.stderr)
run = elbo(*deep, "--data", near, "--likelihood", "bernoulli", "--standardize")
check("Bernoulli on standardised data is refused", run.returncode == 2 and "--standardize" in run.stderr,
      run.stderr)

# ---- rank
run = elbo("ppca", "--data", wide, "--latent", "2", "--json")
check("a dimension 1e7 times as wide hides no other", run.returncode == 0 and metrics(run)["rank"] == 6 and
      0.05 < metrics(run)["sigma2"] < 2, run.stderr)
flat = npy("flat.npy", "f8", [[1.5, 2.5, 3.5]] * 20)
rejects("points that are all equal", "ppca", "--data", flat, "--latent", 1, mentions=["all points are equal"])

# ---- what is no pixel, and what is one bit
rejects("scale where there are no pixels", "ppca", "--data", near, "--latent", 2, "--preprocess", "scale",
        mentions=["scale is for 8-bit pixels", "--preprocess none"])
write("asked.toml", f'[ppca]\ndata = "{near}"\nlatent = 2\npreprocess = "scale"\n'.encode())
rejects("and asked for in a file", "ppca", "--config", "asked.toml", mentions=["scale is for 8-bit pixels"])
check("a default steps aside", elbo("ppca", "--data", near, "--latent", 2).returncode == 0)
check("also when the run is evaluated or resumed", elbo("evaluate", "linear-near").returncode == 0)
bits = [[int(draw.random() < 0.3) for _ in range(12)] for _ in range(200)]
bytes01, floats = npy("bytes.npy", "u1", bits), npy("floats.npy", "f4", bits)
bernoulli = [*shape, "--likelihood", "bernoulli", "--epochs", 20]
of_bytes = elbo(*bernoulli, "--data", bytes01, "--out", "bytes")
of_floats = elbo(*bernoulli, "--data", floats, "--out", "floats")
check("bytes of 0 and 1 are taken as they are, and it is said",
      metrics(of_bytes)["elbo"] == metrics(of_floats)["elbo"] and
      "the pixels of 'npy:bytes.npy' are 0 and 1 only; taken as they are\n" in of_bytes.stderr, of_bytes.stderr)
check("on one line", of_bytes.stderr.count("0 and 1 only") == 1 and "0 and 1 only" not in of_floats.stderr)
check("scale finds nothing to do", metrics(elbo(*bernoulli, "--data", bytes01, "--preprocess", "scale", "--out", "scaled"))
      ["elbo"] == metrics(of_floats)["elbo"])
for kind in ("dequantize", "logit"):
    rejects(f"{kind} of one bit", "ppca", "--data", bytes01, "--latent", 2, "--preprocess", kind,
            mentions=[f"{kind} is for pixels 0..255"])
run = elbo(*deep, "--data", bytes01, "--out", "gaussian")
check("a default of logits steps aside", run.returncode == 0 and json.loads(run.stdout)["config"]["preprocess"] == "none",
      run.stderr)

finish()
