#!/usr/bin/env python3
"""The elbo program as its users meet it: help, bad input, runs, interruption and resuming.

usage: cli_test.py ELBO_BINARY. Prints one line for each check and closes with 'N passed, N failed'.
"""

import gzip
import json
import os
import shutil
import signal
import struct
import subprocess
import time

from program import BINARY, check, elbo, finish, rejects, work_in_a_folder_of_its_own, write


def idx(shape, data, magic=None):
    return (magic or bytes([0, 0, 8, len(shape)])) + b"".join(struct.pack(">I", n) for n in shape) + data


def npy(header, data):
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def floats(*values):
    return struct.pack(f"<{len(values)}d", *values)


work_in_a_folder_of_its_own("elbo-cli-")
commands = ["list", "info", "train", "evaluate", "sample", "reconstruct", "traverse", "interpolate", "ppca", "gradcheck", "trace", "bench",
            "ppca-landscape", "ppca-elbo", "stochastic-elbo", "collapse", "encoders"]

# ---- help and listing
for command in commands:
    run = elbo(command, "--help")
    check(f"{command} --help", run.returncode == 0 and command in run.stdout and len(run.stdout) > 80 and not run.stderr)
run = elbo("list")
check("list names every command", run.returncode == 0 and all(command in run.stdout for command in commands))
check("info --json is JSON", "version" in json.loads(elbo("info", "--json").stdout))
all_threads = json.loads(elbo("info", "--json").stdout)["threads"]
for bound in ({"OMP_PROC_BIND": "true"}, {"OMP_PLACES": "cores"}, {"OMP_PROC_BIND": "spread", "OMP_WAIT_POLICY": "passive"}):
    found = json.loads(elbo("info", "--json", env={**os.environ, **bound}).stdout)["threads"]
    check(f"threads that are bound are as many: {bound}", found == all_threads, (found, all_threads))
run = elbo("gradcheck", "--json", "--op", "sigmoid")
check("gradcheck --json", json.loads(run.stdout)["ops"][0]["error"] < 1e-6)

# ---- options
rejects("no command")
rejects("an unknown command", "trian", mentions=["trian"])
rejects("an unknown option", "train", "--latnt", 3, mentions=["--latnt"])
rejects("an option without its value", "train", "--latent")
rejects("a value that is no number", "train", "--latent", "many")
case = json.loads(elbo("bench", "--json", "--case", "gemm-128x784x200", "--seconds", "0.05").stdout)["cases"][0]
check("bench gives no share above the peak", case["gflops"] > 0 and (case["fma_share"] or 0) <= 1, case)
rejects("an unknown op", "gradcheck", "--op", "sine", mentions=["sine", "sigmoid"])
rejects("an unknown model", "train", "--model", "transformer", "--data", "ppca")
rejects("an unknown data set", "ppca", "--data", "imagenet", mentions=["imagenet", "digits"])
rejects("an unknown preprocessing", "train", "--data", "digits", "--preprocess", "whiten")
rejects("an unknown device", "train", "--data", "ppca", "--device", "tpu")
rejects("CUDA in a build without it", "train", "--data", "ppca", "--device", "cuda")
rejects("latent dimension 0", "train", "--data", "ppca", "--latent", 0)
rejects("more latent dimensions than data dimensions", "train", "--data", "ppca", "--latent", 11)
rejects("sigma^2 = 0", "train", "--data", "ppca", "--latent", 2, "--sigma2", 0)
rejects("a negative sigma^2", "train", "--data", "ppca", "--latent", 2, "--sigma2", -1)
rejects("pPCA with k = D", "ppca", "--data", "ppca", "--latent", 10)
rejects("pPCA with k = 0", "ppca", "--data", "ppca", "--latent", 0)
rejects("missing MNIST, saying where it looked", "ppca", "--data", "mnist", mentions=["nowhere", "digits"])
rejects("a config file that is not there", "--config", "none.toml", "list")
write("bad.toml", b"[train\nlatent = = 3\n")
rejects("a config file that is not TOML", "train", "--config", "bad.toml", "--data", "ppca")
write("bracket.toml", b"[@train]\n")
rejects("a config file that the parser's assertions did not think of", "train", "--config", "bracket.toml", "--data", "ppca", mentions=["line 1"])
write("unknown.toml", b"[train]\nlatnt = 3\n")
for i, strange in enumerate((b'[train]\n"a\\nb" = 1\n', b'["a\\nb"]\n', b'"a\\nb" = 1\n', b'[train]\n"a\\nb" = [[1]]\n')):
    write(f"strange{i}.toml", strange)
    rejects("a config file whose names have line breaks, in one line", "train", "--config", f"strange{i}.toml", "--data", "ppca", mentions=["a b"])
rejects("a config file with an unknown key", "train", "--config", "unknown.toml", "--data", "ppca", mentions=["latnt"])

# ---- files
os.mkdir("mnist")
images = "mnist/train-images-idx3-ubyte"
good = idx((3, 28, 28), bytes(range(256)) * 9 + bytes(48))
for what, data in {
    "a truncated IDX file": good[:-1], "an oversized IDX file": good + b"x", "garbage for IDX": os.urandom(500),
    "an IDX file with a wrong magic number": idx((3, 28, 28), good[16:], b"\x00\x01\x08\x03"),
    "an IDX header that asks for terabytes": idx((2**31, 2**10, 2**10), b""), "an empty IDX file": b"",
    "a truncated gzip of IDX": gzip.compress(good)[:-9],
}.items():
    write(images, data)
    rejects(what, "ppca", "--data", "mnist:mnist", "--latent", 1, mentions=["train-images"])
head = "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2), }"
for what, data in {
    "a truncated npy file": npy(head, floats(1, 2, 3)), "an oversized npy file": npy(head, floats(1, 2, 3, 4, 5)),
    "garbage for npy": os.urandom(300), "npy with a wrong magic": b"NUMPY" + npy(head, floats(1, 2, 3, 4)),
    "npy of complex numbers": npy(head.replace("f8", "c8"), floats(1, 2, 3, 4)),
    "npy with a NaN": npy(head, floats(1, 2, 3, float("nan"))),
    "npy with an infinity": npy(head, floats(1, 2, 3, float("inf"))),
    "npy that asks for terabytes": npy(head.replace("(2, 2)", "(1000000000, 10000)"), b""),
}.items():
    rejects(what, "ppca", "--data", "npy:" + write("x.npy", data), "--latent", 1, mentions=["x.npy"])
for what, data in {
    "garbage for safetensors": os.urandom(300), "a truncated safetensors file": struct.pack("<Q", 100) + b"{}",
    "an empty safetensors file": b"", "safetensors without the tensors": struct.pack("<Q", 2) + b"{}",
}.items():
    rejects(what, "evaluate", write("model.safetensors", data), "--data", "ppca")
rejects("evaluating what is not there", "evaluate", "missing.safetensors", "--data", "ppca")

# ---- output
small = ["train", "--data", "ppca", "--limit", 500, "--latent", 2, "--batch", 100, "--epochs", 150, "--lr", 0.02, "--threads", 1]
write("file", b"precious")
rejects("an output directory below a file", *small, "--out", "file/run")
rejects("an output directory that is a file", *small, "--out", "file")
check("leaves that file alone", open("file").read() == "precious")
full = subprocess.run(f"{BINARY} info --json > /dev/full", shell=True, capture_output=True, text=True)
check("says that standard output is full", full.returncode == 2 and "standard output" in full.stderr, full.stderr)

# ---- a run
run = elbo(*small, "--out", "run", "--json")
result = json.loads(run.stdout)
check("train writes a run directory", run.returncode == 0 and all(
    os.path.exists(f"run/{name}") for name in ("config.json", "metrics.csv", "result.json", "model.safetensors", "report.html",
                                               "checkpoint/state.safetensors", "figures/elbo.csv")))
check("result.json is what --json prints", json.load(open("run/result.json"))["metrics"] == result["metrics"])
metrics = result["metrics"]
check("the ELBO is at most the exact likelihood, and that at most pPCA's maximum",
      metrics["elbo"] <= metrics["log_likelihood"] + 1e-9 <= metrics["ppca_maximum"] + 2e-9)
check("the model is close to pPCA", metrics["ppca_maximum"] - metrics["elbo"] < 0.5, metrics)
rejects("overwriting a run", *small, "--out", "run", mentions=["run"])
check("leaves the run alone", json.load(open("run/result.json"))["metrics"] == result["metrics"])
again = json.loads(elbo("evaluate", "run", "--json").stdout)["metrics"]
check("evaluate finds the same numbers", abs(again["elbo"] - metrics["elbo"]) < 1e-9 and again["kl"] > 0)
write("config.toml", b"[train]\nlatent = 3\nepochs = 1\n")
run = elbo("train", "--config", "config.toml", "--data", "ppca", "--limit", 200, "--out", "toml", "--json")
check("--config sets options", run.returncode == 0 and json.loads(run.stdout)["config"]["latent"] == 3, run.stderr)

# ---- interrupted and resumed: the same bytes as an unbroken run
longer = ["train", "--data", "ppca", "--limit", 500, "--latent", 2, "--batch", 100, "--lr", 0.02, "--threads", 1, "--epochs"]
epochs = 5000
while True:  # with more epochs, where this machine has done them all before the signal comes
    broken = subprocess.Popen([BINARY, *map(str, longer), str(epochs), "--out", "broken"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while broken.poll() is None and not os.path.exists("broken/metrics.csv"):
        time.sleep(0.01)
    broken.send_signal(signal.SIGINT)
    _, message = broken.communicate()
    if broken.returncode != 0:
        break
    shutil.rmtree("broken")
    epochs *= 4
check("Ctrl-C ends with a checkpoint and says how to go on", broken.returncode == 130 and "--resume" in message,
      f"{broken.returncode} {message!r}")
whole = elbo(*longer, epochs, "--out", "whole")
resumed = elbo("train", "--resume", "broken")
same = open("whole/model.safetensors", "rb").read() == open("broken/model.safetensors", "rb").read()
check("a resumed run equals an unbroken one bit for bit", resumed.returncode == 0 and whole.returncode == 0 and same, resumed.stderr + whole.stderr)
rows = open("broken/metrics.csv").read().count("\n")
check("and its metrics have every epoch once", rows == open("whole/metrics.csv").read().count("\n"), rows)
again = elbo("train", "--resume", "broken", "--json")
check("resuming a finished run changes nothing", again.returncode == 0 and json.loads(again.stdout)["metrics"] ==
      json.load(open("whole/result.json"))["metrics"], again.stderr)
rejects("resuming what is no run", "train", "--resume", "mnist")

# ---- polishing
brief = ["train", "--data", "ppca", "--limit", 500, "--latent", 2, "--batch", 100, "--epochs", 2, "--lr", 0.02, "--threads", 1]
plain, polished = (json.loads(elbo(*brief, *more, "--out", out, "--json").stdout)["metrics"]
                   for out, more in (("plain", []), ("polished", ["--polish", 40])))
check("Adam alone is far from the maximum after two epochs", plain["ppca_maximum"] - plain["elbo"] > 1, plain)
check("polishing arrives, and not above", -1e-6 < polished["ppca_maximum"] - polished["elbo"] < 1e-3, polished)
check("and so do the columns", polished["cosines_counted"] == 2 and polished["cosine_worst"] > 0.99 and polished["span_angle"] < 1, polished)
rows = {out: [row.rsplit(",", 1)[0] for row in open(f"{out}/metrics.csv")] for out in ("plain", "polished")}
check("the epochs before it are Adam's as ever", len(rows["plain"]) == 3 and rows["plain"] == rows["polished"], rows)
sweeps = [[float(cell) for cell in row.split(",")] for row in open("polished/polish.csv").read().split()[1:]]
check("polish.csv has every sweep from 0 on, and the ELBO never falls", [row[0] for row in sweeps] == list(range(41)) and
      all(b[1] >= a[1] - 1e-5 for a, b in zip(sweeps, sweeps[1:])), sweeps)
check("its first row is where Adam ended", abs(sweeps[0][1] - plain["elbo"]) < 1e-9, sweeps[0])
elbo(*brief, "--polish", 15, "--out", "stages")
resumed = elbo("train", "--resume", "stages", "--polish", 40, "--json")
stages = [row.rsplit(",", 1)[0] for row in open("stages/polish.csv")]
check("sweeps in two stages are those in one, bit for bit", resumed.returncode == 0 and
      open("stages/model.safetensors", "rb").read() == open("polished/model.safetensors", "rb").read() and
      stages == [row.rsplit(",", 1)[0] for row in open("polished/polish.csv")], resumed.stderr)
alone = open("plain/report.html").read()
resumed = elbo("train", "--resume", "plain", "--polish", 40)
check("a run that ended can be polished later", resumed.returncode == 0 and
      open("plain/model.safetensors", "rb").read() == open("polished/model.safetensors", "rb").read(), resumed.stderr)
page = open("polished/report.html").read()
check("the report shows the turning columns", "Columns and principal directions" in page and "polished in 40 sweeps" in page and
      os.path.exists("polished/figures/gap.csv"))
check("and says so where Adam has not arrived", "--polish 100" in alone and "--polish 100" not in page)
write("few.npy", npy("{'descr': '<f8', 'fortran_order': False, 'shape': (4, 6), }", floats(*[(7 * i * i) % 11 for i in range(24)])))
few = ["train", "--data", "npy:few.npy", "--batch", 2, "--epochs", 2, "--polish", 20, "--latent"]
rejects("polishing with as many latent dimensions as the data span", *few, 3, "--out", "few", mentions=["--polish", "span only 3"])
check("writes nothing before it says so", not os.path.exists("few"))
check("fewer points than dimensions", elbo(*few, 2, "--out", "few").returncode == 0)
rejects("a negative number of sweeps", *brief, "--polish", -1, mentions=["--polish"])
rejects("polishing a deep VAE", "train", "--model", "mlp", "--data", "digits", "--polish", 1, mentions=["--polish", "linear"])
run = elbo("train", "--data", "digits", "--limit", 300, "--latent", 12, "--epochs", 1, "--polish", 3, "--out", "pictures")
check("images have their columns as pictures", run.returncode == 0 and os.path.exists("pictures/figures/columns_1_to_10.png") and
      os.path.exists("pictures/figures/columns_11_to_12.png"), run.stderr)

# ---- experiments on small data
for command, options in {"ppca-landscape": ["--grid", 5, "--first", 4, "--second", 5],
                         "ppca-elbo": ["--latent", "1,2", "--steps", 300, "--frozen-at", 2],
                         "stochastic-elbo": ["--latent", 2, "--steps", 200, "--lr", "0.01,0.003"]}.items():
    run = elbo(command, "--data", "ppca", "--limit", 300, "--subset", 200, *options, "--out", command, "--json")
    check(f"{command} writes its report", run.returncode == 0 and os.path.exists(f"{command}/report.html") and
          json.loads(run.stdout)["command"] == command, run.stderr)
    run = elbo(command, "--data", "ppca", *options, "--dry-run")
    check(f"{command} --dry-run says what it costs", run.returncode == 0 and "about" in run.stdout)

finish()
