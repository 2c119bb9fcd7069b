#!/usr/bin/env python3
"""Runs that do not go well: numbers that are none, logs that are lost, signals, and going on with a run.

usage: runs_cli_test.py ELBO_BINARY. Prints one line for each check and closes with 'N passed, N failed'.
"""

import json
import os
import random
import shutil
import signal
import struct
import subprocess
import time

from program import BINARY, check, elbo, finish, rejects, work_in_a_folder_of_its_own, write

work_in_a_folder_of_its_own("elbo-runs-")
random.seed(3)


def write_npy(path, points, spread=1.0, dimensions=4):
    header = str({"descr": "<f8", "fortran_order": False, "shape": (points, dimensions)}).encode()
    numbers = [random.gauss(0, spread * (1 + i % dimensions)) for i in range(points * dimensions)]
    write(path, b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header + b"\n" + struct.pack(f"<{len(numbers)}d", *numbers))


def load(path):
    with open(path) as file:
        return json.load(file)


def steps_of(run):
    """How many steps the checkpoint of a run has behind it."""
    with open(f"{run}/checkpoint/state.safetensors", "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    return int(header["__metadata__"]["adam.steps"])


def begin(run, *arguments, **options):
    """Starts a run and waits until it can be resumed."""
    process = subprocess.Popen([BINARY, *map(str, arguments), "--out", run], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                               text=True, **options)
    while process.poll() is None and not os.path.exists(f"{run}/checkpoint/state.safetensors"):
        time.sleep(0.01)
    return process


def end(process, with_signal=signal.SIGKILL):
    process.send_signal(with_signal)
    _, message = process.communicate(timeout=120)
    return process.returncode, message


write_npy("points.npy", 60)
write_npy("others.npy", 60)
linear = ["train", "--data", "npy:points.npy", "--latent", 2, "--threads", 1]
deep = ["train", "--model", "mlp", "--data", "npy:points.npy", "--latent", 2, "--hidden", "8", "--threads", 1]
small_collapse = ["collapse", "--data", "npy:points.npy", "--latent", 2, "--hidden", "8", "--sigma2", "1,0.1", "--members", 1,
                  "--threads", 1]
small_encoders = ["encoders", "--data", "npy:points.npy", "--latent", 2, "--threads", 1]

# ---- not a number: one batch, so that the only step breaks the model and nothing but the result can tell
for what, rate in (("whose parameters are finite still", "1e30"), ("whose parameters are not", "3e38")):
    run = elbo(*deep, "--lr", rate, "--epochs", 1, "--out", rate)
    said = run.stderr.strip().split("\n")[-1]
    check(f"a model that breaks in its last step, {what}, is an error", run.returncode == 2 and not run.stdout and
          said.startswith("elbo: ") and "not finite" in said and "learning rate" in said, f"{run.returncode} {run.stderr}")
    check("and writes no result", not os.path.exists(f"{rate}/result.json") and not os.path.exists(f"{rate}/model.safetensors"))
check("the last checkpoint is one to go on from", steps_of("3e38") == 0, steps_of("3e38"))
rejects("a linear model that breaks in its last step", *linear, "--lr", "3e38", "--epochs", 1, "--out", "line", mentions=["range of numbers", "learning rate"])
check("and keeps the checkpoint before", steps_of("line") == 0 and not os.path.exists("line/result.json"), steps_of("line"))
for rates, best in (("1e30,0.001", 1), ("0.001,1e30", 0), ("3e38,0.001,1e30", 1)):
    run = elbo(*deep, "--lr", rates, "--epochs", 1, "--out", f"best-{rates}", "--json")
    found = json.loads(run.stdout)["metrics"] if run.returncode == 0 else {}
    check(f"of the learning rates {rates}, the one that works is the best", found.get("member") == best and found.get("elbo") is not None
          and [m["member"] for m in found["members"] if "stopped" in m] == [m for m in range(rates.count(",") + 1) if m != best],
          run.stderr or found.get("member"))
run = elbo(*deep, "--lr", "1e30,1e31", "--epochs", 1, "--out", "all")
check("an ensemble that breaks altogether is an error", run.returncode == 2 and "every member" in run.stderr and not run.stdout and
      not os.path.exists("all/result.json"), f"{run.returncode} {run.stderr}")
rejects("evaluating a model that broke", "evaluate", "best-1e30,0.001", "--member", 0, mentions=["not finite"])
rejects("pictures of numbers that are none", "evaluate", "best-3e38,0.001,1e30", "--member", 0, mentions=["not finite"])
early = [*deep, "--batch", 20, "--lr", "1e8,0.001", "--evaluate-at", 3]
elbo(*early, "--epochs", 4, "--out", "early")
check("a member that was stopped has no metrics of a later epoch", "stopped" in load("early/evaluations/epoch-3.json")[0] and
      load("early/evaluations/epoch-3.json")[1]["elbo"] < 0)
run = elbo("train", "--resume", "early", "--epochs", 5)
check("and the run can be resumed", run.returncode == 0, run.stderr)
run = elbo(*small_collapse, "--lr", "1e30,0.001", "--epochs", 1, "--out", "collapse-nan", "--json")
check("collapse takes the learning rate that works", run.returncode == 0 and
      {row["lr"] for row in json.loads(run.stdout)["metrics"]["rows"]} == {0.001}, run.stderr)
run = elbo(*small_encoders, "--lr", "1e30,0.001", "--epochs", 1, "--out", "encoders-nan", "--json")
check("and so does encoders", run.returncode == 0 and {row["lr"] for row in json.loads(run.stdout)["metrics"]["encoders"]} == {0.001},
      run.stderr)

# ---- logs that are lost
for where in ("2>&-", "2>/dev/full", "2>&1 >/dev/null | true", ">&- 2>&-"):
    status = subprocess.run(["bash", "-c", f'set -o pipefail; "{BINARY}" ppca --data nope {where}'], capture_output=True).returncode
    check(f"an error is status 2 with {where}", status == 2, status)
full = subprocess.run(["bash", "-c", f'"{BINARY}" train --help >/dev/full'], capture_output=True, text=True)
check("help on a full disk is an error", full.returncode == 2 and "standard output" in full.stderr, full.stderr)
rates = ["--batch", 20, "--lr", "0.001,1e8", "--epochs", 5]
elbo(*deep, *rates, "--out", "heard")
for name, where in (("full", "2>/dev/full"), ("closed", "2>&-"), ("none", "<&- >&- 2>&-")):
    command = " ".join(map(str, [BINARY, *deep, *rates, "--out", name]))
    status = subprocess.run(["bash", "-c", f"{command} {where}"], capture_output=True).returncode
    same = all(open(f"{name}/{file}", "rb").read() == open(f"heard/{file}", "rb").read() for file in ("members/00.safetensors", "config.json"))
    rows = [line.count(",") for line in open(f"{name}/metrics.csv")]
    check(f"a member that breaks does not end a run with {where}", status == (2 if ">&- 2" in where else 0) and same and
          rows == [11] * len(rows) and load(f"{name}/result.json")["metrics"]["member"] == 0, status)
ends = os.pipe()
os.close(ends[0])
process = subprocess.Popen([BINARY, *map(str, deep), "--epochs", "2", "--out", "unread"], stdout=ends[1], stderr=subprocess.PIPE)
os.close(ends[1])
process.communicate(timeout=120)
check("results that nobody reads are in the run directory", process.returncode in (-signal.SIGPIPE, 128 + signal.SIGPIPE) and
      load("unread/result.json")["metrics"]["elbo"] and os.path.exists("unread/report.html"), process.returncode)

# ---- signals
for what, base in (("linear", linear), ("deep", deep)):
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGPIPE):
        run = f"{what}-{number.name}"
        status, message = end(begin(run, *base, "--epochs", 10**6), number)
        check(f"{number.name} ends a {what} run with a checkpoint and says how to go on", status == 128 + number and
              f"--resume {run}" in message and steps_of(run) >= 0, f"{status} {message}")

# ---- going on with a run
forever = ["--epochs", 10**6]
for what, base, also in (("linear", linear, ["--model", "linear"]), ("deep", deep, ["--checkpoint-seconds", "0.01"])):
    end(begin(what, *base, *forever))
    rejects(f"other options of a {what} run", "train", "--resume", what, "--lr", "1e-9", "--batch", 7, "--seed", 5, "--data", "npy:others.npy",
            "--limit", 20, "--precision", "tf32", mentions=["--lr", "--batch", "--seed", "--data", "--limit", "--precision", "leave them away"])
    rejects("one other option", "train", "--resume", what, "--latent", 1, mentions=["--latent (the run has 2)"])
    rejects("a flag that differs", "train", "--resume", what, "--fix-sigma2", mentions=["--learn-sigma2"])
    rejects("another model", "train", "--resume", what, "--model", "conv", mentions=["--model"])
    write("other.toml", b'[train]\nlatent = 3\n')
    rejects("other options in a file", "train", "--resume", what, "--config", "other.toml", mentions=["--latent"])
    rejects("another directory", "train", "--resume", what, "--out", "elsewhere", mentions=["--out"])
    rejects("other data", "train", "--resume", what, "--data", "npy:others.npy", mentions=["--data", "fingerprint"])
    # What it began with, said again, and what may change.
    before = os.stat(f"{what}/config.json").st_ino
    process = subprocess.Popen([BINARY, *map(str, base[:-2]), *map(str, forever), "--out", what, "--resume", what, "--threads", "2",
                                "--device", "cpu", "--json", *also], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and os.stat(f"{what}/config.json").st_ino == before:
        time.sleep(0.01)
    rejects("a run that another process is at work in", "train", "--resume", what, mentions=["another process"])
    rejects("beginning where another process is at work", *base, "--out", what)
    status, message = end(process, signal.SIGINT)
    check(f"a {what} run goes on with the same options said again", status == 130 and "--resume" in message, f"{status} {message}")
    # Data that changed under their name.
    shutil.copy("points.npy", "kept.npy")
    for change in ("other numbers", "fewer points"):
        if change == "other numbers":
            shutil.copy("others.npy", "points.npy")
        else:
            write_npy("points.npy", 50)
        saved = open(f"{what}/checkpoint/state.safetensors", "rb").read()
        rejects(f"{change} under the same name", "train", "--resume", what, mentions=["--data", "fingerprint"])
        check("and leaves the run alone", open(f"{what}/checkpoint/state.safetensors", "rb").read() == saved)
    os.remove("points.npy")
    rejects("data that are gone", "train", "--resume", what, mentions=["points.npy"])
    os.rename("kept.npy", "moved.npy")
    process = subprocess.Popen([BINARY, "train", "--resume", what, "--data", "npy:moved.npy"], stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not load(f"{what}/config.json")["config"]["data"].endswith("moved.npy"):
        time.sleep(0.01)
    status, message = end(process, signal.SIGINT)
    check("the same data in another place are taken, and the place is remembered", status == 130 and "--resume" in message, f"{status} {message}")
    os.rename("moved.npy", "points.npy")
    os.makedirs("deeper", exist_ok=True)

elbo(*deep, "--epochs", 3, "--out", "three")
check("a run goes on from another directory", elbo("train", "--resume", "../three", "--epochs", 4, cwd="deeper").returncode == 0)
check("and so does evaluate", elbo("evaluate", "../three", cwd="deeper").returncode == 0)
rejects("another number of epochs where a schedule has an end", "train", "--resume", "linear", "--epochs", 5, mentions=["--epochs"])
for command, base in (("collapse", small_collapse), ("encoders", small_encoders)):
    run = elbo(*base, "--epochs", 2, "--lr", 0.001, "--out", command)
    check(f"{command} runs", run.returncode == 0, run.stderr)
    rejects(f"other options of {command}", command, "--resume", command, "--epochs", 3, "--lr", 0.002, "--quick",
            mentions=["--epochs", "--lr", "--quick"])
    again = elbo(command, "--resume", f"../{command}", "--lr", 0.001, cwd="deeper")
    check(f"{command} goes on from another directory", again.returncode == 0, again.stderr)
    shutil.copy("points.npy", "kept.npy")
    shutil.copy("others.npy", "points.npy")
    rejects(f"{command} on other data", command, "--resume", command, mentions=["fingerprint"])
    shutil.move("kept.npy", "points.npy")

# ---- killed at its very beginning
process = subprocess.Popen([BINARY, *map(str, linear), *map(str, forever), "--out", "killed"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
while not os.path.exists("killed/config.json"):
    time.sleep(0.001)
end(process)
process = subprocess.Popen([BINARY, "train", "--resume", "killed"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
while process.poll() is None and not os.path.exists("killed/checkpoint/state.safetensors"):
    time.sleep(0.01)
status, message = end(process, signal.SIGINT)
check("a linear run that was killed as it began can be resumed", status == 130 and "--resume killed" in message, f"{status} {message}")
os.makedirs("begun")
write("begun/lock", b"")
check("a directory in which a run was killed before it wrote anything is free", elbo(*deep, "--epochs", 1, "--out", "begun").returncode == 0)

# ---- files of a run that were edited or lost
edited = ["train", "--model", "mlp", "--data", "ppca", "--limit", 120, "--hidden", 4, "--latent", 1, "--batch", 40, "--threads", 1,
          "--validation", 30, "--validate-every", 2, "--evaluate-at", "2,4", "--epochs", 6]
elbo(*edited, "--out", "whole")


def rejects_when(what, change, mentions):
    shutil.rmtree("changed", ignore_errors=True)
    shutil.copytree("whole", "changed")
    change()
    rejects(what, "train", "--resume", "changed", "--epochs", 8, mentions=mentions)


def without_line(path, line):
    lines = open(path).read().splitlines(keepends=True)
    del lines[line]
    write(path, "".join(lines).encode())


rejects_when("a run without its curves", lambda: os.remove("changed/metrics.csv"), ["metrics.csv", "epochs 1 to 6"])
rejects_when("a run whose curves have a hole", lambda: without_line("changed/metrics.csv", 3), ["metrics.csv", "epochs 1 to 6"])
rejects_when("a run that lacks a validation", lambda: without_line("changed/validation.csv", 2), ["validation.csv"])
rejects_when("a run that lost an evaluation", lambda: shutil.rmtree("changed/evaluations"), ["evaluations"])
elbo(*edited[:-4], "--evaluate-at", 6, "--epochs", 6, "--out", "stopped")
files = [os.path.join(folder, file) for folder, _, names in os.walk("stopped/evaluations") for file in names]
for file in files:
    os.remove(file)
run = elbo("train", "--resume", "stopped", "--epochs", 8)
check("a run that was stopped while it evaluated does so when it goes on", run.returncode == 0 and files and all(map(os.path.exists, files)), run.stderr)
elbo(*edited[:-4], "--lr", "0.001,1e30", "--epochs", 6, "--out", "stopped-member")
run = elbo("train", "--resume", "stopped-member", "--epochs", 8)
check("nor does a member that was stopped keep an ensemble from going on", run.returncode == 0, run.stderr)
text = open("whole/metrics.csv").read()
rejects_when("a row of no member", lambda: write("changed/metrics.csv", text.replace("\n3,0,", "\n3,-1,").encode()), ["metrics.csv", "-1"])

# ---- a constant rate does not depend on how long the training is
linear = ["train", "--model", "linear", "--data", "ppca", "--limit", 200, "--latent", 2, "--batch", 100, "--schedule", "constant", "--threads", 1]
elbo(*linear, "--epochs", 10, "--out", "longer")
elbo("train", "--resume", "longer", "--epochs", 20)
elbo(*linear, "--epochs", 20, "--out", "at-once")
check("a linear run that is made longer is the longer run", open("longer/model.safetensors", "rb").read() == open("at-once/model.safetensors", "rb").read())

# ---- units
units = ["collapse", "--data", "ppca", "--limit", 100, "--subset", 0, "--hidden", 4, "--latent", 1, "--sigma2", "1", "--lr", "0.001,0.002",
         "--members", 1, "--epochs", 4, "--threads", 1]
elbo(*units, "--out", "c")
shutil.copytree("c", "swapped")
shutil.copy("c/lr-0.001-trial-0/unit.json", "swapped/lr-0.002-trial-0/unit.json")
rejects("a unit with the result of another", "collapse", "--resume", "swapped", mentions=["lr-0.002-trial-0/unit.json", "another unit"])
unit = load("c/lr-0.001-trial-0/unit.json")
write("c/lr-0.001-trial-0/unit.json", json.dumps({**unit, "seconds": "x"}).encode())
rejects("a unit whose time is no number", "collapse", "--resume", "c", mentions=["unit.json"])
rejects("and its state", "status", "c", mentions=["unit.json", "seconds"])
write_npy("here.npy", 60)
elbo("collapse", "--data", "npy:here.npy", *units[7:], "--out", "moved")
shutil.move("here.npy", "there.npy")
os.remove("moved/result.json")
check("data at another place are found", elbo("collapse", "--resume", "moved", "--data", "npy:there.npy").returncode == 0)
check("and stay found", elbo("collapse", "--resume", "moved").returncode == 0)
rejects("encoders that could not be presented", "encoders", "--data", "digits", "--limit", 50, "--latent", 100, "--out", "never", mentions=["49"])
check("of which nothing is made", not os.path.exists("never"))
elbo(*edited, "--out", "spaced out")
process = begin("spaced out too", *edited[:-1], 100000)
time.sleep(0.5)
status, message = end(process, signal.SIGTERM)
check("what is to be typed is quoted", "--resume 'spaced out too'" in message, message)

finish()
