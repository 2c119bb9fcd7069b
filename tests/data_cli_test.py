#!/usr/bin/env python3
"""What is said of data on the command line: factors of every integer type, arrays (N, C, H, W), files left out.

usage: data_cli_test.py ELBO_BINARY. Prints one line for each check and closes with 'N passed, N failed'.
"""

import json
import os
import struct
import zlib

from program import check, elbo, finish, rejects, work_in_a_folder_of_its_own, write

work_in_a_folder_of_its_own("elbo-data-")
os.environ["ELBO_CACHE"] = os.path.join(os.getcwd(), "cache")


def npy(path, descr, code, shape, numbers):
    """Writes numbers of NumPy's type `descr`, which struct calls `code`."""
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return write(path, b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() +
                 struct.pack(f"<{len(numbers)}{code}", *numbers))


def png(path, value):
    """Writes an 8x8 picture of one grey."""
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    write(path, b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)) +
          chunk(b"IDAT", zlib.compress((b"\0" + bytes([value]) * 8) * 8)) + chunk(b"IEND", b""))


deep = ["train", "--model", "mlp", "--hidden", 4, "--latent", 2, "--epochs", 1, "--batch", 20, "--json"]

# ---- factors
npy("points.npy", "<f4", "f", (60, 3), [(7 * i % 11) / 11 for i in range(180)])
check("a model to judge trains", elbo(*deep, "--data", "npy:points.npy", "--out", "run").returncode == 0)
levels = [i % 3 for i in range(120)]
gaps = []
for descr, code in (("<i8", "q"), ("<i4", "i"), ("<i2", "h"), ("|i1", "b"), ("<u4", "I"), ("<u2", "H"), ("|u1", "B")):
    npy("factors.npy", descr, code, (60, 2), levels)
    run = elbo("evaluate", "run", "--factors", "factors.npy", "--json")
    check(f"factors of type {descr} are read", run.returncode == 0, run.stderr)
    gaps.append(run.returncode == 0 and json.loads(run.stdout)["metrics"]["mig"])
check("and all mean the same", len(set(gaps)) == 1, gaps)
npy("factors.npy", "|b1", "?", (60, 2), [i % 2 == 0 for i in range(120)])
run = elbo("evaluate", "run", "--factors", "factors.npy", "--json")
check("factors that are true or false are read", run.returncode == 0, run.stderr)
npy("factors.npy", "<f8", "d", (60, 2), levels)
rejects("factors that are no integers, with advice that is right", "evaluate", "run", "--factors", "factors.npy",
        mentions=["holds f64 numbers", "save array.astype('int64')"])
npy("factors.npy", ">i4", "i", (60, 2), levels)
rejects("integers of the other byte order", "evaluate", "run", "--factors", "factors.npy", mentions=["save array.astype('<i8')"])
npy("factors.npy", "<i4", "i", (120,), levels)
rejects("factors of another shape", "evaluate", "run", "--factors", "factors.npy", mentions=["shape (120,)", "(60, F)"])

# ---- arrays whose colours come first
npy("nchw.npy", "|u1", "B", (20, 3, 8, 8), [i % 251 for i in range(20 * 192)])
rejects("images (N, C, H, W), saying what is wanted and how", "train", "--model", "conv", "--data", "npy:nchw.npy",
        "--latent", 2, "--out", "no", mentions=["shape is (20, 3, 8, 8)", "(N, H, W, C)", "array.transpose(0, 2, 3, 1)"])
rejects("points", "train", "--model", "conv", "--data", "npy:points.npy", "--latent", 2, "--out", "no",
        mentions=["(N, H, W) or (N, H, W, C)"])
run = elbo(*deep, "--data", "npy:nchw.npy", "--out", "flat")
check("as points they train, which is said", run.returncode == 0 and "points of 192 numbers, not as images" in run.stderr, run.stderr)

# ---- folders
for i in range(3):
    png(f"faces/img_align_celeba/img_align_celeba/{i}.png", 40 * i)
png("faces/.ipynb_checkpoints/0.png", 200)
png("more, of them/4.png", 7)
write("faces/list_eval_partition.csv", b"image_id,partition\n0.png,0\n1.png,2\n2.png,0\n")
run = elbo(*deep, "--data", "images:faces/img_align_celeba/img_align_celeba,size=8,grey", "--out", "kaggle")
check("Kaggle's partition keeps test faces out", run.returncode == 0 and json.loads(run.stdout)["provenance"]["data"]["N"] == 2,
      run.stdout + run.stderr)
os.symlink("../faces/img_align_celeba", "more, of them/linked")
run = elbo(*deep, "--data", "images:more, of them,size=8,grey", "--out", "linked")
check("a folder with a comma and a link to another is read whole", run.returncode == 0 and
      json.loads(run.stdout)["provenance"]["data"]["N"] == 4, run.stdout + run.stderr)
os.symlink("nowhere", "more, of them/gone")
run = elbo(*deep, "--data", "images:more, of them,size=8,grey", "--out", "linked-again")
check("a link that leads nowhere is said", run.returncode == 0 and "a link cannot be followed: 'gone'" in run.stderr, run.stderr)

# ---- numbers that f32 or f64 cannot keep, and files that are read in part
huge = 17 * 10**17
numbers = [huge + 3 * i if i % 2 else i % 7 for i in range(60)]
npy("long.npy", "<i8", "q", (30, 2), numbers)
rejects("integers of more than 53 bits", "ppca", "--data", "npy:long.npy", "--latent", 1, mentions=["53 bits", "column 1", "subtract"])
npy("even.npy", "<i8", "q", (30, 2), [2**53 * ((i * i) % 5) if i % 2 else 2**52 * (i % 7) for i in range(60)])
check("but not those that a double holds", elbo("ppca", "--data", "npy:even.npy", "--latent", 1).returncode == 0)
npy("late.npy", "<f8", "d", (30, 2), [float(i * i % 13) for i in range(50)] + [float("nan")] + [0.0] * 9)
check("--limit is as if the file were so short", elbo("ppca", "--data", "npy:late.npy", "--latent", 1, "--limit", 20).returncode == 0)
rejects("what is behind it otherwise", "ppca", "--data", "npy:late.npy", "--latent", 1, mentions=["row 25"])
seconds = [1.5e9 + 100 * (i % 5) for i in range(60)]
both = [value for i in range(60) for value in (seconds[i], float(i % 3))]
found = {}
for kind, code in (("f4", "f"), ("f8", "d")):
    rounded = list(struct.unpack(f"<{len(both)}f", struct.pack(f"<{len(both)}f", *both)))
    npy(f"time-{kind}.npy", f"<{kind}", code, (60, 2), rounded)
    found[kind] = json.loads(elbo("ppca", "--data", f"npy:time-{kind}.npy", "--latent", 1, "--standardize", "--json").stdout)["metrics"]
check("the same numbers are standardized alike in f32 and f64", abs(found["f4"]["log_likelihood"] - found["f8"]["log_likelihood"]) < 1e-4, found)
for scale, name in ((1e30, "wide"), (1e-12, "narrow")):
    npy(f"{name}.npy", "<f8", "d", (40, 2), [scale * ((7 * i) % 11 - 5) for i in range(80)])
for model in (["--model", "linear"], ["--model", "mlp", "--hidden", "4"]):
    fit = ["train", *model, "--latent", 1, "--epochs", 1, "--threads", 1]
    rejects(f"{model[1]}: squares beyond f32", *fit, "--data", "npy:wide.npy", "--out", "never", mentions=["--standardize"])
    run = elbo(*fit, "--data", "npy:narrow.npy", "--out", f"narrow-{model[1]}")
    check(f"{model[1]}: numbers close together are warned of", run.returncode == 0 and "--standardize" in run.stderr, run.stderr)
npy("alike.npy", "<f8", "d", (40, 2), [3.0] * 80)
rejects("LiBI of points that are all the same", "train", "--model", "mlp", "--hidden", 4, "--latent", 1, "--epochs", 4, "--method", "libi",
        "--data", "npy:alike.npy", "--out", "never", mentions=["all the same"])
write("two\nlines.npy", open("narrow.npy", "rb").read())
run = elbo(*fit, "--data", "npy:two\nlines.npy", "--out", "lines")
check("a warning is one line whatever the file is called", "warning: dimension 1 of 'npy:two\\x0alines.npy'" in run.stderr, run.stderr)

# ---- splits whose files are not there can be cut
os.makedirs("plain")
digits = bytes((i * 37) % 256 for i in range(20 * 16))
write("plain/train-images-idx3-ubyte", struct.pack(">IIII", 2051, 20, 4, 4) + digits)
run = elbo(*deep, "--data", "mnist:plain", "--test", 0.2, "--out", "cut")
check("test points are cut where MNIST's own are missing", run.returncode == 0 and json.loads(run.stdout)["provenance"]["data"]["N"] == 16, run.stderr)
check("and evaluate takes them", elbo("evaluate", "cut", "--split", "test").returncode == 0)
rejects("the test points that nobody cut", "train", "--data", "mnist:plain", "--model", "mlp", "--latent", 1, "--epochs", 1, "--validation", 5,
        "--test", 100, "--out", "never", mentions=["none to train on"])
for i in range(6):
    png(f"half/{i}.png", 10 * i)
write("half/list_eval_partition.csv", b"image_id,partition\n" + b"".join(b"%d.png,%d\n" % (i, 0 if i < 6 else 1) for i in range(9)))
run = elbo(*deep, "--data", "images:half,size=8,grey", "--validation", 2, "--out", "half-cut")
check("and validation images that a partition names only", run.returncode == 0 and json.loads(run.stdout)["provenance"]["data"]["N"] == 4, run.stderr)

finish()
