#!/usr/bin/env python3
"""Deep VAEs from the command line: training, ensembles, members that break, interruption, pictures, experiments.

usage: deep_cli_test.py ELBO_BINARY. Prints one line for each check and closes with 'N passed, N failed'.
"""

import json
import math
import os
import random
import signal
import struct
import subprocess
import time

from program import BINARY, check, elbo, finish, rejects, work_in_a_folder_of_its_own, write

work_in_a_folder_of_its_own("elbo-deep-")


def read(path):
    with open(path, "rb") as file:
        return file.read()


def tensors(path):
    """The f32 tensors of a safetensors file, as tuples of numbers."""
    data = read(path)
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    body = data[8 + length :]
    return {name: struct.unpack(f"<{(entry['data_offsets'][1] - entry['data_offsets'][0]) // 4}f",
                                body[slice(*entry["data_offsets"])])
            for name, entry in header.items() if name != "__metadata__"}


def start(*arguments):
    return subprocess.Popen([BINARY, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


plain = ["train", "--model", "mlp", "--data", "digits", "--limit", 300, "--latent", 4, "--batch", 64]
deep = [*plain, "--hidden", "24,12"]
single = [*deep, "--threads", 1]

# ---- one model
run = elbo(*single, "--epochs", 4, "--evaluate-at", "2,4", "--out", "run", "--json")
check("train --model mlp runs", run.returncode == 0, run.stderr)
result = json.loads(run.stdout)
metrics = result["metrics"]
check("writes its files", all(os.path.exists(f"run/{name}") for name in (
    "config.json", "metrics.csv", "result.json", "model.safetensors", "report.html", "checkpoint/state.safetensors",
    "evaluations/epoch-2.json", "figures/elbo.svg", "figures/samples.png", "figures/reconstructions.png")))
check("the ELBO is the likelihood less the KL", abs(metrics["elbo"] - metrics["expected_log_likelihood"] + metrics["kl"]) < 1e-6 and
      metrics["kl"] >= 0 and min(metrics["kl_per_dim"]) >= 0)
check("it says how many z it rests on and how far it may be off", metrics["z_samples"] == 1 and metrics["elbo_standard_error"] > 0 and
      "±" in read("run/report.html").decode() and "one draw of z" in read("run/report.html").decode(), metrics)
check("E_q ln p(x|z) has one name, which is not that of ln p(x)", "log_likelihood" not in metrics and
      open("run/metrics.csv").readline().split(",")[2:5] == ["elbo", "expected_log_likelihood", "kl"] and
      "expected_log_likelihood" in json.load(open("run/evaluations/epoch-2.json"))[0])
at_end, of_model = (json.load(open("run/evaluations/epoch-4.json"))[0]["units"],
                    json.loads(elbo("evaluate", "run", "--json").stdout)["metrics"]["units"])
check("and what each unit was worth then, as evaluate finds it", all(abs(a - b) < 1e-4 * (1 + abs(b)) for name in ("gain", "gain_of_prior")
      for a, b in zip(at_end[name], of_model[name], strict=True)), (at_end, of_model))
check("the row identity holds", abs(metrics["row_identity_gap"]) < 0.05, metrics["row_identity_gap"])
constant = metrics["elbo_paper_units"] - metrics["elbo"]
check("pixels are in logit space unless told otherwise", result["config"]["preprocess"] == "logit" and constant > -4347)
again = json.loads(elbo("evaluate", "run", "--json").stdout)["metrics"]
check("evaluate finds the same numbers", abs(again["elbo"] - metrics["elbo"]) < 1e-6 * abs(metrics["elbo"]) and
      again["collapse_curve"] == metrics["collapse_curve"])
check("and an importance-weighted bound above the ELBO", again["importance_weighted_bound"] > again["elbo"] and
      0 <= again["mutual_information"] <= math.log(300) + 1e-9 and again["importance_weighted_bound_standard_error"] > 0)
one = elbo("train", "--model", "mlp", "--data", "ppca", "--limit", 200, "--latent", 1, "--hidden", 4, "--epochs", 2, "--out", "one")
exact = json.loads(elbo("evaluate", "one", "--importance-samples", 5000, "--importance-inflation", 2, "--json").stdout or "{}").get("metrics", {})
check("of one latent dimension ln p(x) is exact beside the bound", one.returncode == 0 and "log_likelihood" not in again and
      abs(exact["log_likelihood"] - exact["importance_weighted_bound"]) < 0.05 and exact["log_likelihood_quadrature_error"] < 1e-4 and
      "quadrature" in elbo("evaluate", "one").stdout, exact)
check("the table has both errors", elbo("evaluate", "run").stdout.count("±") >= 3)
names = {"encoder.0.weight", "encoder.0.bias", "encoder.1.weight", "encoder.mean.weight", "encoder.log_variance.bias",
         "decoder.0.weight", "decoder.2.weight", "decoder.2.bias", "log_sigma2"}
check("the model file has PyTorch's names", names <= tensors("run/model.safetensors").keys())
page = read("run/report.html").decode()
check("the report is complete in itself", page.count("data:image/png;base64,") == 2 and "http" not in page.replace("http://www.w3.org", ""))
for command, name in {"sample": "samples", "reconstruct": "reconstructions", "traverse": "traversals", "interpolate": "interpolations"}.items():
    run = elbo(command, "run", "--out", "pictures")
    check(f"{command} draws a PNG", run.returncode == 0 and read(f"pictures/{name}.png").startswith(b"\x89PNG"), run.stderr)
    said = run.stdout.splitlines()
    check("and says where it is", said and said[0] == f"pictures/{name}.png" and (len(said) > 1) == (command == "traverse"), run.stdout)
rejects("a point that is not there", "traverse", "run", "--point", 5000, mentions=["5000"])
rejects("an odd number of points", "interpolate", "run", "--points", "1,2,3", mentions=["--points"])

# ---- likelihoods and objectives
for options in (["--likelihood", "bernoulli"], ["--likelihood", "diagonal"], ["--penalty", "free-bits"], ["--penalty", "capacity"],
                ["--annealing", "cyclical"], ["--beta", "4"], ["--samples", "3"], ["--hidden", "none"],
                ["--encoder-hidden", "16,8", "--encoder-activation", "none"]):
    name = "-".join(options).strip("-")
    base = plain if "--hidden" in options else deep
    run = elbo(*base, "--threads", 1, "--epochs", 2, *options, "--out", name, "--json")
    good = run.returncode == 0
    if good:
        found = json.loads(run.stdout)["metrics"]
        good = abs(found["elbo"] - found["expected_log_likelihood"] + found["kl"]) < 1e-6 and found["kl"] >= 0
    check(f"trains with {' '.join(options)} and reports the true ELBO", good, run.stderr)

# ---- data that would not fit into memory as numbers
def write_npy(path, kind, shape, data):
    header = str({"descr": kind, "fortran_order": False, "shape": shape}).encode()
    write(path, b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header + b"\n" + data)


def peak_bytes(*arguments):
    """Exit status and most memory of a run."""
    process = subprocess.Popen([BINARY, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, used.ru_maxrss * 1024


few, many, size = 1000, 5000, 64 * 64 * 3
write_npy("pixels.npy", "|u1", (many, 64, 64, 3), os.urandom(many * size))
of_pixels = ["--data", "npy:pixels.npy", "--threads", 2]
train_pixels = ["train", "--model", "mlp", *of_pixels, "--hidden", "none", "--latent", 2, "--epochs", 1]
check("a model of pictures trains", elbo(*train_pixels, "--limit", few, "--out", "pixels").returncode == 0)
for what, arguments in (("training", [*train_pixels, "--out"]),
                        ("training with a Bernoulli likelihood", [*train_pixels, "--likelihood", "bernoulli", "--out"]),
                        ("evaluate", ["evaluate", "pixels", *of_pixels, "--importance-samples", 2]),
                        ("traverse", ["traverse", "pixels", *of_pixels, "--out", "pictures"])):
    peaks = [peak_bytes(*arguments, *([f"{what[-3:]}-{limit}"] if arguments[-1] == "--out" else []), "--limit", limit)
             for limit in (few, many)]
    growth = (peaks[1][1] - peaks[0][1]) / ((many - few) * size)
    # Read, a pixel takes one byte; preprocessed it would take four more.
    check(f"{what} never holds the data preprocessed", not (peaks[0][0] or peaks[1][0]) and growth < 2.5, f"{peaks}: {growth} bytes a pixel")
random.seed(1)
write_npy("f64.npy", "<f8", (200, 6), struct.pack("<1200d", *(random.gauss(0, 1) for _ in range(1200))))
run = elbo("train", "--model", "mlp", "--data", "npy:f64.npy", "--hidden", "8", "--latent", 2, "--epochs", 2, "--out", "f64")
check("data in f64 train a model in f32", run.returncode == 0, run.stderr)

# ---- ensembles
grid = ["--sigma2", "10,1", "--lr", "0.001,0.003", "--beta", "1,2", "--annealing", "none,linear", "--annealing-epochs", 2, "--members", 2]
run = elbo(*single, *grid, "--epochs", 3, "--out", "ensemble", "--json")
members = json.loads(run.stdout)["metrics"]["members"]
check("lists make an ensemble of every combination", run.returncode == 0 and len(members) == 32 and
      len({m["setting"] for m in members}) == 32, run.stderr)
for member in (0, 13, 31):
    alone = elbo(*single, *grid, "--epochs", 3, "--only-member", member, "--out", f"alone-{member}")
    check(f"member {member} equals itself trained alone, bit for bit on one thread", alone.returncode == 0 and
          read(f"alone-{member}/model.safetensors") == read(f"ensemble/members/{member:02}.safetensors"), alone.stderr)
together = elbo(*deep, *grid, "--epochs", 3, "--threads", 2, "--out", "ensemble-2", "--json")
alone = elbo(*deep, *grid, "--epochs", 3, "--threads", 2, "--only-member", 13, "--out", "alone-2", "--json")
ours, alone = json.loads(together.stdout)["metrics"]["members"][13]["metrics"], json.loads(alone.stdout)["metrics"]
worst = max(abs(ours[name] / alone[name] - 1) for name in ("elbo", "kl", "sigma2", "sigma2_tuned", "mse"))
check("and within 1e-5 on two", worst < 1e-5, worst)
run = elbo("evaluate", "ensemble", "--member", 3, "--json")
check("evaluate takes a member", run.returncode == 0 and
      abs(json.loads(run.stdout)["metrics"]["kl"] - members[3]["metrics"]["kl"]) < 1e-4 * members[3]["metrics"]["kl"] + 1e-6, run.stderr)

# ---- a member that breaks
run = elbo(*single, "--lr", "0.001,1e8", "--epochs", 3, "--out", "breaks", "--json")
check("a member that breaks is stopped and named", run.returncode == 0 and "member 1 stopped in epoch" in run.stderr and
      "step" in run.stderr and "the first tensor" in run.stderr, run.stderr)
broken = json.loads(run.stdout)["metrics"]["members"][1]
check("the result says so", broken["stopped"]["epoch"] >= 1 and broken["stopped"]["tensor"])
elbo(*single, "--lr", "0.001,1e8", "--only-member", 0, "--epochs", 3, "--out", "whole-0")
check("and the other is what it would have been", read("breaks/members/00.safetensors") == read("whole-0/model.safetensors"))
stopped = json.load(open("breaks/result.json"))["metrics"]["members"][1]["stopped"]
further = elbo("train", "--resume", "breaks", "--epochs", 5, "--json")
check("a run with a broken member can be resumed, and remembers it", further.returncode == 0 and
      json.loads(further.stdout)["metrics"]["members"][1].get("stopped") == stopped, further.stderr)
rejects("to go on with a single model that breaks", *single, "--lr", "1e8", "--epochs", 3, "--out", "broke",
        mentions=["epoch", "step", "tensor"])

# ---- interrupted, killed, resumed: the same bytes as an unbroken run
longer = [*single, "--lr", "0.001,0.003", "--epochs", 250, "--evaluate-at", "60,120", "--checkpoint-seconds", 0.02]
unbroken = start(*longer, "--out", "unbroken")
stopped = start(*longer, "--out", "stopped")
while not os.path.exists("stopped/checkpoint/state.safetensors"):
    time.sleep(0.01)
time.sleep(0.3)
stopped.send_signal(signal.SIGINT)
_, message = stopped.communicate(timeout=120)
check("Ctrl-C ends with a checkpoint and says how to go on", stopped.returncode == 130 and "--resume stopped" in message, message)
resumed = elbo("train", "--resume", "stopped")
unbroken.communicate(timeout=300)


def same_as_unbroken(directory):
    def rows(name):  # all but the last column, which is the time
        return [line.rpartition(",")[0] for line in open(f"{name}/metrics.csv")]
    return (all(read(f"{directory}/members/0{m}.safetensors") == read(f"unbroken/members/0{m}.safetensors") for m in (0, 1))
            and rows(directory) == rows("unbroken")
            and all(read(f"{directory}/evaluations/epoch-{e}.json") == read(f"unbroken/evaluations/epoch-{e}.json") for e in (60, 120)))


check("a resumed run equals an unbroken one: models, metrics and evaluations", resumed.returncode == 0 and same_as_unbroken("stopped"),
      resumed.stderr)
random.seed(4)
process = start(*longer, "--out", "killed")
kills = 0
while process.poll() is None and kills < 12:
    time.sleep(random.uniform(0.05, 0.5))
    if os.path.exists("killed/checkpoint/state.safetensors") and process.poll() is None:
        process.kill()
        process.communicate()
        kills += 1
        process = start("train", "--resume", "killed")
_, message = process.communicate(timeout=300)
check("killed at random moments and resumed, it equals an unbroken one too", kills >= 3 and process.returncode == 0 and
      same_as_unbroken("killed"), f"{kills} kills; {message}")
check("no half-written file is left", not [f for f in os.listdir("killed/checkpoint") if f != "state.safetensors"],
      os.listdir("killed/checkpoint"))

# ---- going further
whole = elbo(*single, "--epochs", 6, "--out", "six")
elbo(*single, "--epochs", 3, "--out", "three")
rejects("fewer epochs than were done", "train", "--resume", "three", "--epochs", 2, mentions=["--epochs"])
further = elbo("train", "--resume", "three", "--epochs", 6)
check("a finished run goes on to more epochs as if it had been asked for them at once", further.returncode == 0 and
      read("six/model.safetensors") == read("three/model.safetensors") and
      json.load(open("three/config.json"))["config"]["epochs"] == 6, further.stderr)
elbo(*single, "--epochs", 2, "--schedule", "cosine", "--out", "cosine")
rejects("more epochs of a schedule that had an end", "train", "--resume", "cosine", "--epochs", 4, mentions=["--epochs"])

# ---- options from a file
write("config.toml", b'[train]\nmodel = "mlp"\nhidden = "16"\nlatent = 3\nepochs = 1\nsigma2 = [1.0, 0.1]\nlearn-sigma2 = false\n')
run = elbo("train", "--config", "config.toml", "--data", "digits", "--limit", 100, "--out", "toml", "--json")
config = json.loads(run.stdout)["config"] if run.returncode == 0 else {}
check("--config sets lists and flags", config.get("sigma2") == [1.0, 0.1] and config.get("learn_sigma2") is False and
      config.get("hidden") == "16", run.stderr)

# ---- bad input
for what, options, word in (
        ("an unknown likelihood", ["--likelihood", "poisson"], "bernoulli"), ("an unknown activation", ["--activation", "step"], "relu"),
        ("an unknown penalty", ["--penalty", "l2"], "free-bits"), ("an unknown annealing", ["--annealing", "slow"], "cyclical"),
        ("widths that are no numbers", ["--hidden", "big"], "1024,512"), ("a layer without units", ["--hidden", "0"], "--hidden"),
        ("a negative beta", ["--beta", "-1"], "--beta"), ("sigma^2 of zero", ["--sigma2", "0"], "--sigma2"),
        ("a learning rate of zero", ["--lr", "0"], "--lr"), ("no samples", ["--samples", "0"], "--samples"),
        ("a member that is not there", ["--only-member", "1"], "--only-member"), ("the linear model's option", ["--gradient", "analytic"], "linear"),
        ("Bernoulli data in logit space", ["--likelihood", "bernoulli", "--preprocess", "logit"], "scale")):
    rejects(what, *(plain if "--hidden" in options else deep), *options, "--out", "never", mentions=[word])
check("and writes nothing", not os.path.exists("never"))
rejects("a deep option of a linear model", "train", "--data", "digits", "--hidden", "8", mentions=["--hidden"])
rejects("an ensemble of linear models", "train", "--data", "ppca", "--lr", "0.1,0.2", mentions=["deep"])

# ---- experiments
small = ["--data", "digits", "--limit", 200, "--hidden", "16", "--latent", 3, "--epochs", 6, "--lr", "0.001,0.003", "--members", 2]
run = elbo("collapse", *small, "--sigma2", "10,1,0.1", "--annealed", "--annealing-epochs", 4, "--out", "collapse", "--json")
check("collapse runs", run.returncode == 0, run.stderr)
found = json.loads(run.stdout)["metrics"]
rows = found["rows"]
check("a row for each sigma^2, fixed and learned, annealed or not, at its best learning rate",
      len(rows) == 12 and all(row["trials"] == 2 and row["lr"] in (0.001, 0.003) for row in rows))
check("fixed rows keep their sigma^2", all(row["learned"] or abs(row["sigma2_final"] / row["sigma2"] - 1) < 1e-6 for row in rows))
check("the row identity holds on every row", found["largest_row_identity_gap"] < 0.5, found["largest_row_identity_gap"])
check("its figures are there", all(os.path.exists(f"collapse/figures/{name}.svg") for name in (
    "collapse_fixed", "collapse_learned", "sigma2", "collapse_annealed_fixed", "collapse_annealed_learned")))
drawn = [f"reconstructions{kind}" for kind in ("_fixed", "_learned", "_annealed_fixed", "_annealed_learned")]
# 28 pixels, doubled, and 2 between: ten columns, one row of data and three of models
check("and reconstructions by model", all(struct.unpack(">II", read(f"collapse/figures/{name}.png")[16:24]) == (578, 230) for name in drawn))
page = read("collapse/report.html").decode()
check("the papers' numbers and names of data stand beside their own data only", "paper: σ²" not in page and "Beside it" not in page and
      "Fig 5 " not in page.replace("Figs 5 (MNIST)", ""))
idx = struct.pack(">4i", 2051, 40, 28, 28) + os.urandom(40 * 784)
os.makedirs("idx")
write("idx/train-images-idx3-ubyte", idx)
write("idx/train-labels-idx1-ubyte", struct.pack(">2i", 2049, 40) + bytes(40))
run = elbo("collapse", "--data", "mnist:idx", "--hidden", "8", "--latent", 2, "--epochs", 1, "--lr", 0.001, "--members", 1,
           "--sigma2", "10,0.003", "--out", "mnist-collapse")
page = read("mnist-collapse/report.html").decode() if run.returncode == 0 else ""
check("beside MNIST there is Table 2, with a mark where it contradicts itself", "Table 2 of Lucas" in page and "-1450.3<" in page and
      "-139538.8†" in page and "Fig 5: " in page and "†" in run.stdout, run.stderr)
run = elbo("collapse", "--data", "digits", "--limit", 200, "--dry-run")
check("collapse --dry-run says what it costs", run.returncode == 0 and "about" in run.stdout and "400 models" in run.stdout, run.stdout)
rejects("an option that collapse sets itself", "collapse", *small, "--beta", 2, mentions=["--beta"])
rejects("collapse of a likelihood without sigma^2", "collapse", *small, "--likelihood", "bernoulli", "--preprocess", "scale")
run = elbo("encoders", "--data", "digits", "--limit", 300, "--latent", 5, "--epochs", 3, "--out", "encoders", "--json")
found = json.loads(run.stdout)["metrics"]["encoders"] if run.returncode == 0 else []
check("no encoder exceeds pPCA's maximum", len(found) == 4 and all(row["below_ppca"] > 0 for row in found), run.stderr)

finish()
