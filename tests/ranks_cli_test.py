"""mpirun elbo train: ranks that share each batch train what one process trains, to rounding; the same bits every time; and a run
goes on with any number of them, whichever of them was stopped or killed.
"""

import csv
import glob
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time

from program import BINARY, check, elbo, finish, work_in_a_folder_of_its_own
from sweeps import MPI_ENVIRONMENT, MPIRUN, children, start, wait_for

work_in_a_folder_of_its_own("ranks")
os.environ["TMPDIR"] = MPI_ENVIRONMENT["TMPDIR"] = os.getcwd()
# 330 points: the last batch of an epoch has 30, which neither two nor three ranks share evenly with the others.
SMALL = ["--data", "digits", "--limit", 330, "--model", "mlp", "--hidden", "24,16", "--latent", 4, "--batch", 101, "--threads", 1, "--device", "cpu"]
ROUNDING = 2e-4  # of f32 sums in another order, after some steps of Adam


def ranks(n, *words):
    return [*map(str, [*MPIRUN, "-n", n, BINARY, "train", *words])]


def mpirun(n, *words, **options):
    return subprocess.run(ranks(n, *words), env=MPI_ENVIRONMENT, capture_output=True, text=True, timeout=300, **options)


def rows(directory, name="metrics.csv"):
    """Of a table of the run, without times."""
    with open(f"{directory}/{name}") as file:
        return [{column: value for column, value in row.items() if column != "seconds"} for row in csv.DictReader(file)]


def numbers(value):
    """All numbers in JSON, by where they are; without those of time."""
    if isinstance(value, dict):
        return {f"{key}.{where}": x for key, inner in value.items() if key not in ("training_seconds", "points_per_second", "processes")
                for where, x in numbers(inner).items()}
    if isinstance(value, list):
        return {f"{i}.{where}": x for i, inner in enumerate(value) for where, x in numbers(inner).items()}
    return {"": value} if isinstance(value, float) else {}


def far(ours, theirs):
    return not (math.isclose(ours, theirs, rel_tol=ROUNDING, abs_tol=ROUNDING) or (math.isnan(ours) and math.isnan(theirs)))


def differ_in(a, b):
    """Cells of a table."""
    try:
        return far(float(a), float(b))
    except ValueError:  # the name of a phase
        return a != b


def close(ours, theirs, *tables):
    """(whether two runs are the same to rounding, where they are not)"""
    differ = []
    for name in ("metrics.csv", *tables):
        a, b = rows(ours, name), rows(theirs, name)
        if len(a) != len(b):
            return False, f"{name}: {len(a)} rows, and {len(b)}"
        differ += [(name, i, column, x[column], y[column]) for i, (x, y) in enumerate(zip(a, b)) for column in x if differ_in(x[column], y[column])]
    for kind in ("elbo", "kl", "expected_log_likelihood"):
        a, b = (json.load(open(f"{run}/result.json"))["metrics"][kind] for run in (ours, theirs))
        a, b = (x["value"] if isinstance(x, dict) else x for x in (a, b))
        differ += [(kind, a, b)] if far(a, b) else []
    return not differ, differ[:3]


def same_bits(ours, theirs):
    names = ["model.safetensors", "checkpoint/state.safetensors"]
    strip = lambda data: data[8 + int.from_bytes(data[:8], "little"):]  # the header has the seconds of training
    return rows(ours) == rows(theirs) and all(strip(open(f"{ours}/{n}", "rb").read()) == strip(open(f"{theirs}/{n}", "rb").read()) for n in names)


# ---- where there is no MPI, or no mpirun
launched = {**os.environ, "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0"}
if "without MPI" in elbo("sweep", "collapse", "--launcher", "mpi", "--only", "nothing").stderr:
    for rank in ("0", "1"):  # which mpirun, of which there is none here, would end before it says so
        run = elbo("train", *SMALL, "--epochs", 1, "--out", "never", env={**launched, "OMPI_COMM_WORLD_RANK": rank})
        check(f"a build without MPI says so; rank {rank}", run.returncode == 2 and not os.path.exists("never") and
              run.stderr.count("\n") == 1 and "without MPI" in run.stderr, run.stderr)
    print("skipped: ranks, as this build has no MPI")
    finish()
if not MPIRUN:
    print("skipped: ranks, as there is no mpirun")
    sys.exit(77)

# ---- two and three ranks train what one process trains
run = elbo("train", *SMALL, "--epochs", 4, "--out", "one")
check("one process", run.returncode == 0, run.stderr)
for n in (2, 3):
    run = mpirun(n, *SMALL, "--epochs", 4, "--out", f"of{n}")
    check(f"{n} ranks", run.returncode == 0, run.stderr)
    check(f"{n} ranks have the numbers of one process", *close(f"of{n}", "one"))
    check(f"{n} ranks report once", run.stdout.count("report.html") == 1 and run.stderr.count("100%") <= 1, (run.stdout, run.stderr))
    check(f"{n} ranks say how many they were", '"processes"' in open(f"of{n}/result.json").read())
    again = mpirun(n, *SMALL, "--epochs", 4, "--out", f"of{n}again")
    check(f"{n} ranks have the same bits twice", again.returncode == 0 and same_bits(f"of{n}", f"of{n}again"), again.stderr)
check("ranks leave nothing behind", not glob.glob("elbo-rank-*"), glob.glob("elbo-rank-*"))

# ---- an ensemble with all that an epoch can have
RICH = [*SMALL, "--epochs", 4, "--beta", "1,4", "--annealing", "none,linear", "--annealing-epochs", 2, "--samples", 3, "--clip", 5, "--schedule", "cosine",
        "--validation", 60, "--validate-every", 1, "--evaluate-at", "1,2"]
run, shared = elbo("train", *RICH, "--out", "rich"), mpirun(2, *RICH, "--out", "rich2")
check("an ensemble with validation", run.returncode == 0 and shared.returncode == 0, run.stderr + shared.stderr)
check("is the same to rounding", *close("rich2", "rich", "validation.csv"))
a, b = (numbers(json.load(open(f"{out}/evaluations/epoch-2.json"))) for out in ("rich2", "rich"))
check("and so are evaluations on the way", a.keys() == b.keys() and len(a) > 20 and not [k for k in a if "entropies.gap" not in k and far(a[k], b[k])],
      [(k, a[k], b.get(k)) for k in a if far(a[k], b.get(k, 0))][:3])
patient = [*SMALL, "--epochs", 60, "--lr", 0.05, "--validation", 60, "--validate-every", 1, "--patience", 2]
run = mpirun(2, *patient, "--out", "patient")
check("ranks agree on when patience ends", run.returncode == 0 and "ends at epoch" in run.stderr and len(rows("patient")) < 60, run.stderr)
tiny = ["--data", "digits", "--limit", 5, "--model", "mlp", "--hidden", 8, "--latent", 2, "--batch", 2, "--epochs", 3, "--threads", 1, "--device", "cpu"]
run, shared = elbo("train", *tiny, "--out", "tiny"), mpirun(3, *tiny, "--out", "tiny3")
check("batches with fewer points than there are ranks", run.returncode == 0 and shared.returncode == 0 and close("tiny3", "tiny")[0],
      shared.stderr or close("tiny3", "tiny"))
segments = [*SMALL, "--epochs", 4, "--method", "lagging", "--lagging-segments", 2]
run, shared = elbo("train", *segments, "--out", "segments"), mpirun(2, *segments, "--out", "segments2")
check("segments of a lagging encoder", shared.returncode == 0, shared.stderr)
check("are the same to rounding", *close("segments2", "segments"))

# ---- a run goes on with any number of ranks, whoever was stopped
LONG = [*SMALL, "--epochs", 120, "--lr", 0.0001, "--checkpoint-seconds", 0]
run = elbo("train", *LONG, "--out", "long")
check("an unbroken run of one process", run.returncode == 0, run.stderr)


def workers(process):
    """The ranks' processes, in the order of their ranks; below mpirun, or below its helpers."""
    found, left = {}, [process.pid]
    while left:
        for pid in children(left.pop()):
            left.append(pid)
            try:
                environment = dict(x.split("=", 1) for x in open(f"/proc/{pid}/environ").read().split("\0") if "=" in x)
            except OSError:  # it has just ended
                continue
            rank = environment.get("OMPI_COMM_WORLD_RANK", environment.get("PMI_RANK"))
            if rank is not None:
                found.setdefault(int(rank), pid)
    return [found[rank] for rank in sorted(found)]


def stopped_ranks(out, n, which, with_signal):
    process = start(*ranks(n, *LONG, "--out", out), env=MPI_ENVIRONMENT)
    begun = wait_for(lambda: os.path.exists(f"{out}/metrics.csv") and len(rows(out)) > 5)
    pids = workers(process)
    check(f"{n} ranks are at work", len(pids) == n, pids)
    if len(pids) > which:
        os.kill(pids[which], with_signal)
    begin = time.time()
    try:
        _, err = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        for pid in workers(process):
            os.kill(pid, signal.SIGKILL)
        _, err = process.communicate()
        err += " (had to be killed)"
    return begun, process.returncode, err, time.time() - begin


for which in (0, 1):
    begun, status, err, took = stopped_ranks(f"stopped{which}", 2, which, signal.SIGTERM)
    check(f"SIGTERM to rank {which} ends all with a checkpoint", begun and status == 143 and err.count("stopped after") == 1 and
          "continue with: elbo train --resume" in err, (status, err))
shutil.copytree("stopped1", "stopped1b")
run = elbo("train", "--resume", "stopped1")
check("one process goes on with what two ranks began", run.returncode == 0, run.stderr)
check("and ends as if nothing had happened, to rounding", *close("stopped1", "long"))
run = mpirun(3, "--resume", "stopped1b")
check("and so do three ranks", run.returncode == 0 and close("stopped1b", "long")[0], run.stderr or close("stopped1b", "long"))
run = mpirun(2, "--resume", "stopped0")
check("and two", run.returncode == 0 and close("stopped0", "long")[0], run.stderr or close("stopped0", "long"))
process = start(BINARY, "train", *LONG, "--out", "alone")
wait_for(lambda: os.path.exists("alone/metrics.csv") and len(rows("alone")) > 5)
process.send_signal(signal.SIGTERM)
process.communicate()
run = mpirun(2, "--resume", "alone")
check("two ranks go on with what one process began", run.returncode == 0 and close("alone", "long")[0], run.stderr or close("alone", "long"))
begun, status, err, took = stopped_ranks("killed", 2, 1, signal.SIGKILL)
check("where a rank is killed all end", begun and status != 0 and took < 30, (status, took))
run = mpirun(2, "--resume", "killed")
check("and the run can be resumed", run.returncode == 0 and close("killed", "long")[0], run.stderr or close("killed", "long"))

# ---- on a GPU, emulated or not: plain steps, of each rank its rows
gpu = ["--data", "digits", "--limit", 40, "--model", "mlp", "--hidden", 12, "--latent", 3, "--batch", 16, "--epochs", 2, "--threads", 1, "--device", "cuda"]
run = elbo("train", *gpu, "--out", "gpu")
if "--device cpu" in run.stderr:
    print("skipped: ranks on a GPU, as there is none")
else:
    shared = mpirun(3, *gpu, "--out", "gpu3")
    check("ranks on a GPU have the numbers of one process", run.returncode == 0 and shared.returncode == 0 and close("gpu3", "gpu")[0], shared.stderr)

# ---- errors are said once, and nobody waits for ever
def refused(what, n, *words, mentions):
    run = mpirun(n, *words, "--out", "never")
    lines = [line for line in run.stderr.split("\n") if line.startswith("elbo: ")]
    check(f"{what}: one line", run.returncode == 2 and len(lines) == 1 and all(word in lines[0] for word in mentions) and not os.path.exists("never"),
          (run.returncode, run.stderr))


for what, words, mentions in [
        ("a linear model", ["--model", "linear"], ["--model linear"]),
        ("LiBI", [*SMALL, "--method", "libi"], ["--method libi"]),
        ("He et al.'s lagging encoder", [*SMALL, "--method", "lagging"], ["--lagging-segments"]),
        ("free bits", [*SMALL, "--penalty", "free-bits"], ["free-bits"]),
        ("a capacity", [*SMALL, "--penalty", "capacity"], ["capacity"]),
        ("batch normalisation", ["--model", "conv", "--network", "asperti"], ["asperti"]),
        ("a chosen σ²", [*SMALL, "--choose-sigma2", "law"], ["--choose-sigma2"]),
        ("a growing k", [*SMALL, "--grow-latent"], ["--grow-latent"])]:
    refused(what, 2, *words, mentions=["[mpi]", "mpirun", *mentions])
refused("an unknown option", 3, *SMALL, "--nonsense", mentions=["--nonsense"])
for what, words, mentions in [("other options of one rank", ["--seed", 5], ["rank 1", "other options"]), ("a mistake of one rank", ["--nonsense"], ["--nonsense"])]:
    one = ["-n", 1, BINARY, "train", *SMALL, "--epochs", 1, "--out", "never1"]
    run = subprocess.run([*map(str, [*MPIRUN, *one, ":", *one, *words])], env=MPI_ENVIRONMENT, capture_output=True, text=True, timeout=300)
    lines = [line for line in run.stderr.split("\n") if line.startswith("elbo: ")]
    check(f"{what} ends all, with one line", run.returncode == 2 and len(lines) == 1 and all(word in lines[0] for word in mentions), run.stderr)
    shutil.rmtree("never1", ignore_errors=True)
refused("unknown data", 3, "--model", "mlp", "--data", "nowhere", mentions=["nowhere"])
run = mpirun(2, *SMALL, "--epochs", 4, "--out", "one")
check("a directory that is not empty: one line", run.returncode == 2 and run.stderr.count("elbo: ") == 1 and "[run directory]" in run.stderr, run.stderr)
begin = time.time()
run = mpirun(2, *SMALL, "--epochs", 4, "--lr", 1e30, "--out", "broken")
check("a training that breaks: said once", run.returncode == 2 and run.stderr.count("its objective is not finite") == 1, run.stderr)
words = [*map(str, [*SMALL, "--epochs", 4, "--out", "half"])]
open("no-folder", "w").close()  # below which nobody can make one
alone = ["-n", "1", "env", f"TMPDIR={os.getcwd()}/no-folder/x", BINARY, "train", *words]
run = subprocess.run([*MPIRUN, "-n", "1", BINARY, "train", *words, ":", *alone], env=MPI_ENVIRONMENT, capture_output=True, text=True, timeout=120)
check("a rank that fails alone ends all, and says why", run.returncode == 2 and "elbo: rank 1 on" in run.stderr and "TMPDIR" in run.stderr, run.stderr)
check("and nobody waits", time.time() - begin < 60)

finish()
