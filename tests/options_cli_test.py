#!/usr/bin/env python3
"""The options of the elbo program: numbers, TOML files, what --quick leaves to the user.

usage: options_cli_test.py ELBO_BINARY. Prints one line for each check and closes with 'N passed, N failed'.
"""

import json
import os
import re
import shutil
import struct

from program import check, elbo, finish, rejects, work_in_a_folder_of_its_own, write

work_in_a_folder_of_its_own("elbo-options-")
commands = [name for name in re.findall(r"^([a-z][a-z-]*)  ", elbo("list").stdout, re.M) if name != "command"]

# ---- numbers: every option that takes one, of every command
numeric = [(command, name, kind) for command in commands
           for name, kind in re.findall(r"^  (--[a-z0-9-]+)(?:,--[a-z0-9-]+)* (INT|FLOAT)\b", elbo(command, "--help").stdout, re.M)]
check("there are many options that are numbers", len(commands) >= 16 and len(numeric) > 100 and
      {("bench", "--seconds", "FLOAT"), ("train", "--seed", "INT"), ("interpolate", "--plane", "INT")} <= set(numeric), numeric)
for value in ("nan", "-5", "inf", "1e400", "", "0x10"):
    wrong = []
    # Every option knows the check, and the check every value; tests/apps/arguments_test.cpp has more of them.
    for command, name, kind in numeric if value == "nan" else [row for row in numeric if row[0] == "train"]:
        run = elbo(command, f"{name}={value}")
        if run.returncode != 2 or run.stdout or run.stderr.count("\n") != 1 or name not in run.stderr or value not in run.stderr:
            wrong.append((command, name, run.stderr))
    check(f"none of them takes '{value}'", not wrong, wrong)
wrong = [(command, name) for command, name, kind in numeric if kind == "INT" and elbo(command, name, "7.5").returncode != 2]
check("none that is whole takes '7.5'", not wrong, wrong)

tiny = ["train", "--model", "mlp", "--data", "ppca", "--limit", 60, "--batch", 30, "--hidden", "4", "--latent", 2, "--threads", 1]
for name, value in (("--seed", 2**64), ("--limit", 2**63), ("--epochs", 10**12), ("--alpha", 0.5), ("--threads", 1025),
                    ("--lr", "0.1,nan"), ("--sigma2", "1,0"), ("--beta", "1,-1"), ("--hidden", "4,-1"), ("--clip", "1e39"),
                    ("--sigma2", "1e-50"), ("--only-member", -1), ("--batch", 0), ("--samples", 0), ("--cycles", 0)):
    rejects(f"{name} {value}", *tiny, f"{name}={value}", "--out", "never", mentions=[name])
run = elbo(*tiny, "--seed", 2**64 - 1, "--epochs", "010", "--clip", "+.5", "--out", "edges", "--json")
config = json.loads(run.stdout)["config"] if run.returncode == 0 else {}
check("the largest seed is a seed, and digits are decimal whatever they begin with",
      config.get("seed") == 2**64 - 1 and config.get("epochs") == 10 and config.get("clip") == 0.5, run.stderr or config)
for epochs in ("0", "-1", "99", "2,99"):
    rejects(f"evaluating after epoch {epochs} of 3", *tiny, "--epochs", 3, f"--evaluate-at={epochs}", "--out", "never",
            mentions=["--evaluate-at", epochs.rpartition(",")[2]])
cyclical = [*tiny, "--annealing", "none,cyclical", "--epochs", 3]  # 6 steps
rejects("more cycles of annealing than could leave weight 0", *cyclical, "--cycles", 4, "--out", "never", mentions=["--cycles", "8 steps", "6"])
check("and writes nothing", not os.path.exists("never"))
run = elbo(*cyclical, "--cycles", 3, "--out", "cycles")
rows = [line.split(",") for line in open("cycles/metrics.csv").read().splitlines()] if run.returncode == 0 else [["kl_weight"]]
weights = {row[rows[0].index("kl_weight")] for row in rows[1:] if row[1] == "1"}
check("three cycles of two steps end each with the whole weight", weights == {"1"}, run.stderr or weights)
run = elbo("collapse", "--data", "digits", "--limit", 100, "--annealed", "--epochs", 10, "--dry-run")
check("an annealing longer than the training is no fault", run.returncode == 0, run.stderr)

run = elbo("train", "--model", "mlp", "--data", "ppca", "--limit", 60, "--hidden", "4", "--threads", 1, "--latent-dim", 2, "--batch-size", 30,
           "--learning-rate", "0.01,0.02", "--trials", 2, "--epochs", 1, "--out", "aliases", "--json")
config = json.loads(run.stdout)["config"] if run.returncode == 0 else {}
check("options have the names that other software gives them, too",
      [config.get(key) for key in ("latent", "batch", "lr", "members")] == [2, 30, [0.01, 0.02], 2], run.stderr or config)
rejects("an option under both of its names with two values", "train", "--data", "ppca", "--latent", 2, "--latent-dim", 3,
        "--out", "never", mentions=["--latent"])
grouped = {command: dict(re.findall(r"^(.+):\n((?:.+\n)+)", elbo(command, "--help").stdout, re.M)) for command in commands}
strange = {command: options for command, groups in grouped.items() for name, text in groups.items() if name.startswith("Several processes")
           if (options := re.findall(r"^  (--[a-z0-9-]+)", text, re.M)) != ["--begin", "--split", "--work-only", "--lease"]}
check("no experiment's own options are among those of several processes", not strange, strange)
check("a group of them has those that no other group has", "--ring-runs" in grouped["luecke-entropies"].get("Settings", ""), grouped["luecke-entropies"])
help = elbo("train", "--help").stdout
check("the help of train comes in groups", re.findall(r"^([A-Z]\w+):$", help, re.M) ==
      ["Options", "Model", "Data", "Run", "Optimisation", "Objective", "Ensemble", "Method", "Calibration"], help)

# ---- TOML


def config_of(text, *more):
    """The options that a run with this file has, and what it said."""
    config_of.runs += 1
    path = write(f"{config_of.runs}.toml", text if isinstance(text, bytes) else text.encode())
    run = elbo("train", "--config", path, "--threads", 1, "--json", *more)
    return (json.loads(run.stdout)["config"] if run.returncode == 0 else {}), run.stderr


config_of.runs = 0
config, said = config_of("""\ufeff# made by an editor that marks its files\r
[ train ]      # with blanks, and a comment\r
model = "mlp"  # as --model\r
data = 'ppca'
limit = 1_00
latent = 0x3
hidden = [16, 8]
lr = [
  1e-3,  # the first
  3e-3,
]
beta = 4       # whole, where a real number is wanted
annealing = ["none", "linear"]
learn-sigma2 = false
evaluate-at = [1]
"epochs" = 1
out = "runs/try#2"
""")
check("a file with a byte order mark, comments, lists over lines, 1_00 and # in a string", config.get("hidden") == "16,8" and
      config.get("lr") == [1e-3, 3e-3] and config.get("limit") == 100 and config.get("latent") == 3 and config.get("beta") == [4] and
      config.get("annealing") == ["none", "linear"] and config.get("learn_sigma2") is False and config.get("evaluate_at") == [1] and
      config.get("epochs") == 1 and os.path.exists("runs/try#2/model.safetensors") is False and
      os.path.exists("runs/try#2/members/03.safetensors"), said or config)
base = '[train]\nmodel = "mlp"\ndata = "ppca"\nlimit = 60\nepochs = 1\nhidden = "4"\n'
config, said = config_of(base + "latent = 3\nsamples = 2\nfix-sigma2 = true\n", "--latent", 2, "--out", "t1")
check("the command line comes first", config.get("latent") == 2 and config.get("samples") == 2 and config.get("learn_sigma2") is False, said)
config, said = config_of(base + 'latent = 2\n[collapse]\nlatent = 9\n[evaluate]\nimportance-samples = 3\n', "--out", "t2")
check("each command has a section of its own", config.get("latent") == 2, said)
run = elbo("evaluate", "t2", "--config", "3.toml", "--json")
check("the same file serves another command", run.returncode == 0 and json.loads(run.stdout)["metrics"]["importance_samples"] == 3, run.stderr)
config, said = config_of("train.model = 'mlp'\ntrain.latent = 2\n", "--data", "ppca", "--limit", 60, "--epochs", 1, "--out", "t3")
check("dotted keys are keys of the section", config.get("latent") == 2, said)
config, said = config_of("", *tiny[1:-2], "--epochs", 1, "--out", "t4")
check("an empty file says nothing", config.get("latent") == 2, said)

for what, text, words in (
        ("a second section", base + "[train]\nlatent = 3\n", [".toml, line 7", "train"]),
        ("a second key", base + "lr = 1e-3\nlr = 1e-2\n", ["line 8", "lr"]),
        ("what is no TOML", "[train\nlatent = = 3\n", ["line 1"]),
        ("a value without quotes", "[train]\nmodel = mlp\n", ["line 2"]),
        ("an unknown key", base + "latnt = 3\n", ["line 7", "latnt", "elbo train --help"]),
        ("an unknown key of another command", base + "[collapse]\nlatnt = 3\n", ["line 8", "latnt", "collapse"]),
        ("an unknown section", base + "[trian]\nlatent = 3\n", ["line 7", "trian"]),
        ("a file without the command's section", "[collapse]\nlatent = 3\n", ["[train]", "[collapse]"]),
        ("an option outside a section", "latent = 3\n" + base, ["line 1", "latent", "[train]"]),
        ("a list of sections", "[[train]]\nlatent = 3\n", ["line 1", "[[train]]"]),
        ("a section within a section", base + "[train.deep]\nlatent = 3\n", ["line 7", "deep"]),
        ("a table for a value", base + "latent = {k = 3}\n", ["line 7", "latent", "an integer", "a table"]),
        ("a string for a number", base + 'latent = "3"\n', ["line 7", "latent", "an integer", "a string"]),
        ("a float for an integer", base + "latent = 3.0\n", ["line 7", "latent", "a float"]),
        ("a boolean for a number", base + "clip = true\n", ["line 7", "clip", "a boolean"]),
        ("a number for a string", base + "activation = 3\n", ["line 7", "activation", "a string"]),
        ("a number for a flag", base + "learn-sigma2 = 1\n", ["line 7", "learn-sigma2", "true or false"]),
        ("a string for a flag", base + 'json = "yes"\n', ["line 7", "json", "true or false"]),
        ("a date", base + "seed = 2024-01-01\n", ["line 7", "seed", "a date"]),
        ("a list for one value", base + "latent = [3]\n", ["line 7", "latent", "a list"]),
        ("a list within a list", base + "lr = [[1e-3]]\n", ["line 7", "lr", "a list"]),
        ("a list of several kinds", base + 'lr = [1e-3, "x"]\n', ["line 7", "lr", "a string"]),
        ("an empty list", base + "lr = []\n", ["line 7", "lr", "empty"]),
        ("an option and its opposite", base + "learn-sigma2 = true\nfix-sigma2 = true\n", ["learn-sigma2", "fix-sigma2"]),
        ("nan", base + "clip = nan\n", ["clip", "nan"]), ("a number out of range", base + "batch = -1\n", ["--batch", "-1"]),
        ("help", base + "help = true\n", ["help"]), ("another file", base + 'config = "b.toml"\n', ["line 7", "config"]),
        ("bytes that are no UTF-8", base.encode() + b'out = "\xff"\n', ["line 7"]),
        ("a name beyond ASCII without quotes", base + "é = 1\n", ["line 7", "é", "quotes"]),
        ("a text that goes on beyond ASCII behind a backslash", base + 'out = """a\\\n§"""\n', ["line 8", "§", "backslash"]),
        ("a folder", None, ["folder"])):
    if text is None:
        os.mkdir(path := "folder")
    else:
        path = write("bad.toml", text if isinstance(text, bytes) else text.encode())
    rejects(f"in a TOML file {what}", "train", "--config", path, "--out", "never", mentions=words)
check("and writes nothing", not os.path.exists("never"))

# ---- --quick changes what was not said
landscape = ["ppca-landscape", "--data", "ppca", "--limit", 200, "--subset", 0, "--first", 4, "--second", 5, "--quick", "--json"]
grids = [json.loads(elbo(*landscape, *more, "--out", f"q{i}").stdout)["config"]["grid"] for i, more in enumerate(
    ([], ["--grid", 5], ["--config", write("grid.toml", b"[ppca-landscape]\ngrid = 7\n")]))]
check("ppca-landscape --quick keeps the grid that was given", grids == [21, 5, 7], grids)
run = elbo("ppca-elbo", "--data", "ppca", "--quick", "--latent", "1,2,3", "--frozen-at", 2, "--steps", 6000, "--dry-run")
check("ppca-elbo --quick keeps the steps and latent dimensions that were given", "3 linear VAEs for 6000" in run.stdout, run.stdout + run.stderr)
run = elbo("ppca-elbo", "--data", "digits", "--limit", 200, "--subset", 0, "--quick", "--dry-run")
check("and takes its own otherwise", "5 linear VAEs for 4000" in run.stdout, run.stdout + run.stderr)
run = elbo("stochastic-elbo", "--data", "digits", "--limit", 100, "--subset", 0, "--quick", "--latent", 60, "--steps", 3500, "--lr", 0.01, "--dry-run")
check("stochastic-elbo --quick keeps the steps and learning rates that were given", "1 learning rates" in run.stdout and "3500" in run.stdout, run.stdout)
run = elbo("stochastic-elbo", "--data", "digits", "--limit", 100, "--subset", 0, "--quick", "--latent", 60, "--steps", 1, "--lr", 0.01,
           "--out", "quick", "--json")
check("and the latent dimension", json.loads(run.stdout)["config"]["latent"] == 60 if run.returncode == 0 else False, run.stderr)
run = elbo("encoders", "--data", "digits", "--quick", "--subset", 6000, "--dry-run")
check("encoders --quick keeps a subset that was given", "of 6000 points" in run.stdout, run.stdout + run.stderr)

# ---- the paper's numbers stand beside its own setting only
check("stochastic-elbo does not hold the paper's numbers beside other data", "950.7" not in open("quick/report.html").read())
os.mkdir("mnist")
images = os.urandom(1000 * 784)
write("mnist/train-images-idx3-ubyte", struct.pack(">4i", 2051, 1000, 28, 28) + images)
write("mnist/train-labels-idx1-ubyte", struct.pack(">2i", 2049, 1000) + bytes(1000))
for what, more, expected in (("its data and k", [], True), ("another k", ["--latent", 20], False), ("fewer points", ["--limit", 500, "--subset", 0], False)):
    run = elbo("stochastic-elbo", "--data", "mnist:mnist", "--steps", 1, "--lr", 0.001, *more, "--out", what.replace(" ", "-"))
    check(f"with {what} it {'does' if expected else 'does not'}", run.returncode == 0 and ("950.7" in run.stdout) == expected, run.stderr)

# ---- options that say nothing beside the others, or two things
deep = ["train", "--model", "mlp", "--data", "digits", "--limit", 60, "--batch", 30, "--hidden", "4", "--latent", 2, "--threads", 1,
        "--epochs", 1]
for what, more, words in (
        ("a capacity without that penalty", ["--capacity", 3], ["--capacity", "--penalty capacity"]),
        ("epochs of a capacity beside another penalty", ["--penalty", "free-bits", "--capacity-epochs", 2], ["--penalty capacity"]),
        ("free nats without that penalty", ["--free-nats", 1], ["--free-nats", "--penalty free-bits"]),
        ("cycles without that annealing", ["--annealing", "linear", "--cycles", 3], ["--cycles", "--annealing cyclical"]),
        ("epochs of an annealing that there is not", ["--annealing-epochs", 3], ["--annealing-epochs", "--annealing linear"]),
        ("the alpha of a logit that there is not", ["--preprocess", "scale", "--alpha", 0.1], ["--alpha", "logit", "scale"]),
        ("sigma^2 of a Bernoulli likelihood", ["--likelihood", "bernoulli", "--sigma2", "3,1"], ["--sigma2", "gaussian"]),
        ("one sigma^2 to be fixed where there are many", ["--likelihood", "diagonal", "--fix-sigma2"], ["sigma2", "gaussian"]),
        ("sigma^2 learned and fixed", ["--learn-sigma2", "--fix-sigma2"], ["sigma2"]),
        ("a rate that stands twice", ["--lr", "0.1,0.2,0.10"], ["--lr", "0.1 stands twice"]),
        ("an annealing that stands twice", ["--annealing", "none,none"], ["--annealing", "none stands twice"]),
        ("a width below 0", ["--init", "normal:-1"], ["normal:-1"]),
        ("an empty word", ["--resume", ""], ["--resume", "empty"]),
        ("an empty value", ["--resume="], ["--resume=", "empty"]),
        ("a list of nothing", ["--sigma2", ",", "--latent", 3], ["list of nothing"]),
        ("a list with an empty item", ["--sigma2", "1,,2", "--latent", 3], ["empty item"]),
        ("one that ends with a comma", ["--sigma2=1,2,", "--latent", 3], ["empty item"])):
    rejects(what, *deep, *more, "--out", "never", mentions=words)
rejects("a sigma^2 that stands twice in collapse", "collapse", "--data", "digits", "--limit", 60, "--sigma2", "1,1", "--out", "never",
        mentions=["--sigma2", "twice"])
rejects("a run that is only begun and only worked at", "ppca-landscape", "--data", "digits", "--begin", "--work-only", "--out", "never",
        mentions=["--work-only", "--begin"])
rejects("an image's size twice", "train", "--data", "images:.,size=8,size=9", "--out", "never", mentions=["size stands twice"])
rejects("a colour twice", "train", "--data", "images:.,rgb,grey", "--out", "never", mentions=["rgb or grey stands twice"])
rejects("a command of two lines", "no\nsuch", mentions=["'no"])
check("and nothing is written", not os.path.exists("never"))


def npy(path, rows, kind="<f8"):
    """Rows of numbers as numpy.save writes them."""
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': ({len(rows)}, {len(rows[0])}), }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    return write(path, b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()
                 + b"".join(struct.pack(f"<{len(row)}d", *row) for row in rows))


points = [[i % 3, i % 5, (7 * i) % 11] for i in range(30)]
npy("large.npy", [*points[:4], [0, 0, 1e155], *points[4:]])
for command in (["ppca", "--latent", 1], ["forecast", "--sigma2", 1, "--latent", 1, "--out", "never"],
                ["train", "--latent", 1, "--epochs", 1, "--out", "never"]):
    rejects(f"{command[0]} on a number whose square is more than a double holds", *command, "--data", "npy:large.npy", mentions=["1e+155", "row 4, column 2"])
npy("small.npy", [[1e-200 * x for x in row] for row in points])
rejects("numbers whose squares are less than a double holds", "ppca", "--latent", 1, "--data", "npy:small.npy", mentions=["e-199", "small.npy"])
npy(os.fsdecode(b"odd\xff.npy"), points)
rejects("data whose name a record cannot have", "train", "--data", "npy:" + os.fsdecode(b"odd\xff.npy"), "--latent", 1, "--epochs", 1,
        "--out", "never", mentions=["UTF-8"])

# ---- a run whose config.json was edited, and options that it does not have
run = elbo(*deep, "--out", "edited")
config = json.load(open("edited/config.json"))
rejects("polishing of a deep run", "train", "--resume", "edited", "--polish", 3, mentions=["--polish"])
check("of which nothing is noted", json.load(open("edited/config.json")) == config and config["config"]["polish"] == 0)
def edited(command, key, value):
    config = json.load(open(f"{command}/config.json"))
    shutil.copytree(command, "edited", dirs_exist_ok=True)
    write("edited/config.json", json.dumps({**config, "config": {**config["config"], key: value}}).encode())
    rejects(f"a config.json of {command} with {key} = {value}", command, "--resume", "edited", mentions=["config.json"])


os.rename("edited", "train")
for key, value in (("lr", -1), ("lr", []), ("lr", [-1]), ("sigma2", []), ("data", 5), ("learn_sigma2", "x"), ("epochs", -1), ("batch", 1.5),
                   ("members", 0)):
    edited("train", key, value)
for command, options, faults in (("collapse", ["--data", "ppca", "--sigma2", 1, "--lr", 0.001], (("members", 0), ("members", 1e300), ("lr", []), ("latent", -1))),
                                 ("encoders", ["--data", "ppca", "--latent", 2], (("eps_hz", []), ("beta", []))),
                                 ("ppca-elbo", ["--data", "ppca", "--latent", 2, "--frozen-at", 2], (("latent", []), ("steps", 0))),
                                 ("asperti-trajectories", ["--data", "digits"], (("batch", 0), ("members", 0)))):
    elbo(command, "--limit", 200, "--subset", 0, *options, "--begin", "--out", command)
    for key, value in faults:
        shutil.rmtree("edited", ignore_errors=True)
        edited(command, key, value)
os.mkdir("deep")
write("deep/config.json", b'{"command": "train", "config": {"a": ' + 10**5 * b"[" + 10**5 * b"]" + b"}}")
rejects("a config.json with lists in lists, so deep that who visits them has no stack left", "train", "--resume", "deep",
        mentions=["config.json", "100 deep"])
rejects("a word with a line break and an escape", "train", "--data", "digits", "--device", "a\nb\033[1m", mentions=["a b"])
for command, options in (("luecke-noise", ["--small-batch", 30, "--high-lr", 1e10]),
                         ("luecke-entropies", ["--data", "digits", "--limit", 30, "--ring-runs", 1, "--latent", 1])):
    lengths = [option for name in ("--epochs", "--linear-epochs", "--image-epochs", "--ring-epochs")
               if name in elbo(command, "--help").stdout for option in (name, 2)]
    rejects(f"{command} whose bounds are all lost in the last epoch", command, *options, *lengths, "--runs", 1, "--points", 30, "--samples", 2,
            "--lr", 1e10, "--threads", 1, "--out", command, mentions=["no bound"])
elbo("ppca-landscape", "--data", "ppca", "--limit", 200, "--subset", 0, "--first", 4, "--second", 5, "--quick", "--out", "units")
unit = next(os.path.join(folder, "unit.json") for folder, _, files in os.walk("units") if "unit.json" in files)
write(unit, b'{"result": 5, "seconds": 1}')
rejects("a unit.json that is something else", "ppca-landscape", "--resume", "units", mentions=["unit.json"])
for damaged in (b"[1]", b'{"result": {}, "seconds": 1e999}', b'{"result": {}, "seconds": 1, "origins": [3]}'):
    write(unit, damaged)
    rejects(f"the state of a run with {damaged.decode()} for a result", "status", "units", mentions=["/unit.json"])

# ---- a file of options gives way to the command line, and is no device
npy("points.npy", points)
write("forecast.toml", b'[forecast]\ndata = "npy:points.npy"\nlatent = 2\nsigma2 = 1.0\n')
run = elbo("--config", "forecast.toml", "forecast", "--lambda", 1, "--json")
check("an option of the command line comes before one of the file that it excludes", run.returncode == 0 and
      "lambda" in json.loads(run.stdout)["config"], run.stderr)
rejects("both of them in one place", "forecast", "--data", "npy:points.npy", "--latent", 2, "--sigma2", 1, "--lambda", 1, mentions=["--lambda"])
rejects("a device as a file of options", "--config", "/dev/zero", "ppca", mentions=["1 MiB"])

finish()
