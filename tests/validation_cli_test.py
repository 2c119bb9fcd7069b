#!/usr/bin/env python3
"""Splits and validation: the same points whoever asks, held-out ELBOs, the best models, patience, resumed runs.

usage: validation_cli_test.py ELBO_BINARY. Prints one line for each check and closes with 'N passed, N failed'. Exit status 77:
NumPy is not installed.
"""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

from program import BINARY, check, elbo, finish, rejects, work_in_a_folder_of_its_own

try:
    import numpy as np
except ImportError:
    print("skipped: numpy not found")
    sys.exit(77)
from model_file import read_safetensors, weights_of

work_in_a_folder_of_its_own("elbo-validation-")
rng = np.random.default_rng(8)
random.seed(8)
POINTS = 120
x = (rng.normal(size=(POINTS, 2)) @ rng.normal(size=(2, 6)) + 0.3 * rng.normal(size=(POINTS, 6))).astype("f4")
np.save("x.npy", x)
data = ["--data", "npy:x.npy", "--threads", 1]
divided = [*data, "--validation", 0.25, "--test", 12]
# So many units for so few points soon know them by heart.
wide = ["train", "--model", "mlp", "--hidden", "64", "--latent", 3, "--batch", 30, "--seed", 4, *divided]
deep = [*wide, "--lr", 0.01]
linear = ["train", "--latent", 4, "--batch", 26, "--lr", 0.1, "--schedule", "constant", "--seed", 4, *divided]


def read(path):
    with open(path, "rb") as file:
        return file.read()


def curve(run):
    """Rows of validation.csv, without the time."""
    with open(f"{run}/validation.csv") as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


def elbos(run, member=0):
    return {int(row["epoch"]): float(row["elbo"]) for row in curve(run) if int(row["member"]) == member}


def result_of(*arguments):
    run = elbo(*arguments, "--json")
    check(" ".join(map(str, arguments[:2])) + f" to {arguments[-1]} runs", run.returncode == 0, run.stderr)
    return json.loads(run.stdout) if run.returncode == 0 else {}


def evaluated(run, split, *options):
    run = elbo("evaluate", run, "--split", split, "--importance-samples", 0, "--threads", 1, "--json", *options)
    return json.loads(run.stdout) if run.returncode == 0 else {"error": run.stderr, "metrics": {"elbo": None}}


def rows_of(run, split, *options):
    """Which rows of the file encode takes for a split."""
    elbo("encode", run, "--split", split, "--only", "rows", "--out", "rows.npz", *options)
    with np.load("rows.npz") as file:
        rows = file["rows"]
    os.remove("rows.npz")
    return rows


# ---- the points
result = watched = result_of(*deep, "--epochs", 12, "--validate-every", 2, "--out", "deep")
rows = {split: rows_of("deep", split) for split in ("train", "validation", "test", "all")}
check("splits are as large as asked", [len(rows[split]) for split in ("train", "validation", "test", "all")] == [78, 30, 12, 120])
check("no point is in two of them, and none is left out",
      sorted(np.concatenate([rows[split] for split in ("train", "validation", "test")])) == list(range(POINTS)))
check("the result says which split its numbers are of", result["provenance"]["data"]["split"] == "train" and
      result["provenance"]["data"]["N"] == 78 and result["config"]["validation"] == 0.25 and result["config"]["split_seed"] == 0)
result_of(*[77 if word == 4 else word for word in deep], "--epochs", 1, "--out", "other-seed")
check("another seed holds out the same points", all(np.array_equal(rows_of("other-seed", split), rows[split]) for split in ("validation", "test")))
result = result_of(*deep, "--subset", 50, "--epochs", 1, "--validate-every", 1, "--out", "subset")
check("fewer training points, too", np.array_equal(rows_of("subset", "validation"), rows["validation"]) and
      result["metrics"]["validation"]["points"] == 30 and len(rows_of("subset", "train")) == 50 and set(rows_of("subset", "train")) < set(rows["train"]))
result_of(*deep, "--split-seed", 9, "--epochs", 1, "--out", "other-split")
check("another seed of the split holds out others", not np.array_equal(rows_of("other-split", "validation"), rows["validation"]))
result_of(*deep, "--limit", 40, "--epochs", 1, "--out", "limit")
check("a limit is as a shorter file", sorted(np.concatenate([rows_of("limit", split) for split in ("train", "validation", "test")])) == list(range(40)))

# ---- held-out ELBOs
recorded = elbos("deep")
check("the validation split is evaluated every so many epochs", list(recorded) == [2, 4, 6, 8, 10, 12] and
      list(curve("deep")[0]) == ["epoch", "member", "elbo", "elbo_standard_error", "expected_log_likelihood", "kl", "best"], recorded)
again = evaluated("deep", "validation")
check("the last is evaluate's number", again["metrics"]["elbo"] == recorded[12] and
      again["metrics"]["elbo_standard_error"] == float(curve("deep")[-1]["elbo_standard_error"]), f"{again} {recorded}")
check("which says its split and whence it is", again["provenance"]["data"]["split"] == "validation" and again["provenance"]["data"]["N"] == 30 and
      again["config"]["split"] == "validation" and again["config"]["validation"] == 0.25, again.get("config"))
best = max(recorded, key=recorded.get)
found = watched["metrics"]["validation"]
check("the best is kept, and said", found["elbo"] == recorded[best] and found["epoch"] == best and found["points"] == 30 and
      found["ended_at_epoch"] is None and found["last_elbo"] == recorded[12], found)
check("it opens like a run, and is what it was", evaluated("deep/best", "validation")["metrics"]["elbo"] == recorded[best] and
      read_safetensors("deep/best/model.safetensors")[1]["epoch"] == str(best))
marked, highest = True, -np.inf
for row in curve("deep"):
    marked &= (row["best"] == "1") == (float(row["elbo"]) > highest)
    highest = max(highest, float(row["elbo"]))
check("the file marks those that were the best so far", marked)
text = elbo(*deep, "--epochs", 4, "--validate-every", 2, "--out", "said").stdout
check("the text says where the best is", "best at epoch" in text and "of 4: ELBO" in text and "kept in said/best" in text, text)
page = read("deep/report.html").decode()
check("the report has it, with its error, its points and the way on", "<h2>Validation" in page and f"best at epoch {best} of 12" in page and
      "30 points of the validation split" in page and "--split test" in page and "on the training split" in page)
result_of(*deep, "--epochs", 12, "--out", "without")
check("watching changes nothing", read("without/model.safetensors") == read("deep/model.safetensors"))

weights = weights_of("deep/model.safetensors")
layer = lambda name, values: values @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
hidden = np.maximum(layer("encoder.0", x[rows["validation"]].astype(float)), 0)
mean, log_variance = layer("encoder.mean", hidden), layer("encoder.log_variance", hidden)
kl = 0.5 * (mean**2 + np.expm1(log_variance) - log_variance).sum(1).mean()
check("the KL is NumPy's of these rows of the file", abs(float(curve("deep")[-1]["kl"]) - kl) < 1e-4 * kl, f"{curve('deep')[-1]['kl']} {kl}")
for split, words in (("train", "training split of"), ("validation", "validation split of"), ("test", "test split of"), ("all", "whole of")):
    said = elbo("evaluate", "deep", "--split", split).stdout
    check(f"evaluate says that it is the {words[:-3]}", words in said and ("which it was trained on" in said) == (split == "train"), said)
check("and it is the training split unless named", "on the training split of" in elbo("evaluate", "deep").stdout)
check("pictures take splits, too", "there is no point 12; the data have 12" in elbo("traverse", "deep", "--split", "test", "--point", 12).stderr)

# ---- patience
long = [*deep, "--epochs", 60, "--validate-every", 2]
result_of(*long, "--out", "long")
recorded = elbos("long")


def ends_at(values, patience):
    highest, since = -np.inf, 0
    for epoch, value in values.items():
        highest, since = (value, 0) if value > highest else (highest, since + 1)
        if since == patience:
            return epoch
    return None


for patience in (1, 3):
    end = ends_at(recorded, patience)
    run = f"patience-{patience}"
    found = result_of(*long, "--patience", patience, "--out", run)["metrics"]["validation"]
    check(f"patience {patience} ends the run where the recorded curve says", end is not None and found["ended_at_epoch"] == end and
          elbos(run) == {epoch: value for epoch, value in recorded.items() if epoch <= end}, f"{found} {end} {recorded}")
    said = elbo(*long, "--patience", patience, "--out", f"{run}-said").stderr
    check("with the rows of metrics.csv up to there, and no step more", len(open(f"{run}/metrics.csv").readlines()) == end + 1 and
          f" {3 * end}/180 " in said and "180/180" not in said, said)
    result_of(*deep, "--epochs", end, "--out", f"short-{patience}")
    check("and the model is that of so many epochs", read(f"{run}/model.safetensors") == read(f"short-{patience}/model.safetensors"))
    result_of(*deep, "--epochs", found["epoch"], "--out", f"best-{patience}")
    kept, alone = read_safetensors(f"{run}/best/model.safetensors")[0], read_safetensors(f"best-{patience}/model.safetensors")[0]
    check("as the best is of its own", all(np.array_equal(kept[name], alone[name]) for name in alone))
grid = [*wide, "--lr", "0.01,0.0001", "--epochs", 60, "--validate-every", 2, "--patience", 3]
run = elbo(*grid, "--out", "grid", "--json")
members = json.loads(run.stdout)["metrics"]["members"]
ends = [member["validation"]["ended_at_epoch"] for member in members]
check("in an ensemble each member ends on its own", ends == [ends_at(recorded, 3), None] and "stopped" not in members[0] and
      f"member 0 ends at epoch {ends[0]}" in run.stderr, f"{ends} {run.stderr}")
for member in (0, 1):
    result_of(*grid, "--only-member", member, "--out", f"only-{member}")
    check(f"member {member} and its best are what they are alone", read(f"grid/members/0{member}.safetensors") == read(f"only-{member}/model.safetensors")
          and read(f"grid/best/members/0{member}.safetensors") == read(f"only-{member}/best/model.safetensors"))
listed = json.load(open("grid/best/members/members.json"))
check("and the best of all is that with the highest validation ELBO",
      listed["best"] == int(np.argmax([member["validation"]["elbo"] for member in members])), listed)

# ---- interrupted, killed, resumed
def same(a, b, files):
    def lines(run):
        return [line.rpartition(",")[0] for line in open(f"{run}/metrics.csv")]
    differ = [file for file in files if read(f"{a}/{file}") != read(f"{b}/{file}")]
    return not differ and lines(a) == lines(b) and curve(a) == curve(b), differ


def start(*arguments):
    return subprocess.Popen([BINARY, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


slow = ["--checkpoint-seconds", 0.02, "--epochs", 400, "--validate-every", 1]
np.save("many.npy", rng.normal(size=(4000, 6)).astype("f4"))
for what, arguments, files in (
        ("a deep ensemble", [*wide, "--lr", "0.01,0.0003", "--patience", 60, *slow],
         [f"{folder}members/0{m}.safetensors" for folder in ("", "best/") for m in (0, 1)]),
        ("a run that mostly validates", ["train", "--model", "mlp", "--hidden", "64", "--latent", 3, "--threads", 1, "--data", "npy:many.npy",
                                         "--validation", 3980, *slow], ["model.safetensors", "best/model.safetensors"]),
        ("a linear VAE", [*linear, "--epochs", 400, "--validate-every", 1, "--patience", 150, "--polish", 2],
         ["model.safetensors", "best/model.safetensors"])):
    name = what.replace(" ", "-")
    unbroken = result_of(*arguments, "--out", f"{name}-unbroken")
    for how in (signal.SIGINT, signal.SIGKILL):
        run = f"{name}-{how.name}"
        process, breaks = start(*arguments, "--out", run), 0
        # (A signal in the midst of an evaluation leaves an epoch that is over and has no row yet.)
        while process.poll() is None and breaks < 6:
            time.sleep(random.uniform(0, 0.3))
            if os.path.exists(f"{run}/checkpoint/state.safetensors") and process.poll() is None:
                process.send_signal(how)
                process.communicate()
                breaks += 1
                process = start("train", "--resume", run)
        _, said = process.communicate(timeout=300)
        equal, differ = same(run, f"{name}-unbroken", files) if process.returncode == 0 else (False, said)
        check(f"{what} with {how.name}, {breaks} times, and resumed equals an unbroken one", equal, differ)
        check("and so does what is said of its validation", json.load(open(f"{run}/result.json"))["metrics"]["validation"] ==
              unbroken["metrics"]["validation"])
        check("with one file of the best beside the checkpoint", len(os.listdir(f"{run}/checkpoint")) == 2, os.listdir(f"{run}/checkpoint"))
result_of(*deep, "--epochs", 5, "--validate-every", 2, "--out", "further")
run = elbo("train", "--resume", "further", "--epochs", 12)
check("a finished run goes on to more epochs as if it had been asked for them at once", run.returncode == 0 and
      same("further", "deep", ["model.safetensors", "best/model.safetensors"])[0], run.stderr)
for option, value in (("--validate-every", 3), ("--patience", 2), ("--validation", 0.3), ("--test", 0), ("--split-seed", 1)):
    rejects(f"{option} anew", "train", "--resume", "deep", option, value, mentions=[option])
run = elbo("train", "--resume", "deep", "--validate-every", 2, "--validation", 0.25)
check("but as they were they may be given", run.returncode == 0, run.stderr)

# ---- linear VAEs
result = result_of(*linear, "--epochs", 6, "--validate-every", 3, "--out", "linear")
weights = weights_of("linear/model.safetensors")
points = x[rows["validation"]].astype(float)
mean = (points - weights["mean"]) @ weights["encoder.weight"].T
variance, sigma2 = np.exp(weights["log_variance"]), np.exp(weights["log_sigma2"].item())
left = points - weights["mean"] - mean @ weights["decoder.weight"].T
exact = -0.5 * (6 * np.log(2 * np.pi * sigma2) + ((left**2).sum(1) + (weights["decoder.weight"]**2 @ variance).sum()) / sigma2) \
    - 0.5 * (mean**2 + variance - 1 - weights["log_variance"]).sum(1)
last = curve("linear")[-1]
check("the held-out ELBO of a linear VAE is NumPy's", abs(float(last["elbo"]) - exact.mean()) < 1e-9 * abs(exact.mean()), f"{last} {exact.mean()}")
check("and its standard error", abs(float(last["elbo_standard_error"]) - exact.std(ddof=1) / np.sqrt(30)) < 1e-9, last)
check("and it is evaluate's number", evaluated("linear", "validation")["metrics"]["elbo"] == float(last["elbo"]) ==
      result["metrics"]["validation_elbo_at_the_end"])
recorded = elbos("linear")
check("its best opens like a run", evaluated("linear/best", "validation")["metrics"]["elbo"] == max(recorded.values()) ==
      result["metrics"]["validation"]["elbo"], recorded)
restless = ["train", "--latent", 4, "--batch", 26, "--lr", 0.3, "--schedule", "constant", "--seed", 4, *divided, "--epochs", 30,
            "--validate-every", 1]
result_of(*restless, "--out", "restless")
recorded = elbos("restless")
result = result_of(*restless, "--patience", 4, "--polish", 3, "--out", "patient")
end, best = ends_at(recorded, 4), result["metrics"]["validation"]["epoch"]
check("patience ends Adam's part of its training where the recorded curve says", end is not None and best < end and
      result["metrics"]["validation"]["ended_at_epoch"] == end and
      elbos("patient") == {epoch: value for epoch, value in recorded.items() if epoch <= end}, f"{end} {recorded}")
check("its best is of an epoch before that", evaluated("patient/best", "validation")["metrics"]["elbo"] == recorded[best], recorded[best])
check("and the sweeps come after", len(open("patient/metrics.csv").readlines()) == end + 1 and len(open("patient/polish.csv").readlines()) == 5 and
      evaluated("patient", "validation")["metrics"]["elbo"] == result["metrics"]["validation_elbo_at_the_end"] != recorded[end])
centre = weights["mean"]
check("its mean is that of the training split", np.allclose(centre, x[rows["train"]].astype(float).mean(0), atol=1e-12))

# ---- standardised by the training split, which held-out points share
result = result_of(*deep, "--standardize", "--epochs", 2, "--validate-every", 1, "--out", "standardized")
card = json.loads(read_safetensors("standardized/model.safetensors")[1]["card"])
training = x[rows["train"]].astype(float)
check("standardising is by the training split", np.allclose(card["preprocessing"]["mean"], training.mean(0), atol=1e-6) and
      np.allclose(card["preprocessing"]["scale"], training.std(0), atol=1e-6))
check("also of held-out points", evaluated("standardized", "validation")["metrics"]["elbo"] == elbos("standardized")[2])

# ---- sources with test points of their own
plain = ["train", "--model", "mlp", "--hidden", "8", "--latent", 2, "--epochs", 2, "--threads", 1, "--seed", 3, "--data", "digits", "--limit", 200]
result = result_of(*plain, "--validation", 50, "--validate-every", 1, "--out", "digits")
test = evaluated("digits", "test")
check("digits have a test split", test["provenance"]["data"]["N"] == 200 and test["provenance"]["data"]["split"] == "test" and
      result["provenance"]["data"]["N"] == 150, test)
check("pixels, too, get the noise that evaluate gives them", evaluated("digits", "validation")["metrics"]["elbo"] == elbos("digits")[2])
check("all of digits is both", evaluated("digits", "all")["provenance"]["data"]["N"] == 400)

# ---- nothing of it where nothing is asked
result = result_of(*plain, "--out", "plain")
check("without any of it a run speaks of none", not {"validation", "test", "split_seed", "validate_every"} & set(result["config"]) and
      "validation" not in result["metrics"] and not os.path.exists("plain/validation.csv") and not os.path.exists("plain/best") and
      "split" not in json.loads(read_safetensors("plain/model.safetensors")[1]["card"])["data"] and result["provenance"]["data"]["split"] == "train")
card = json.loads(read_safetensors("deep/model.safetensors")[1]["card"])
check("a card says what was held out", card["data"]["split"]["validation"] == 0.25 and card["data"]["split"]["test"] == 12 and
      card["data"]["split"]["seed"] == 0 and card["data"]["split"]["name"] == "train", card)
shutil.copytree("plain", "older")
older = json.load(open("older/result.json"))
del older["provenance"]["data"]["split"]
json.dump(older, open("older/result.json", "w"))
check("runs of versions that did not say are of the training split", "split" not in json.dumps(
      json.loads(elbo("compare", "plain", "older", "--out", "compared", "--json").stdout)["metrics"]["notes"]))

# ---- what does not go
fine = [*data, "--model", "mlp", "--hidden", "8", "--latent", 2, "--epochs", 4, "--out", "never"]
rejects("validation of data without such a split", "train", *fine, "--validate-every", 1, mentions=["no validation split", "--validation 0.1"])
rejects("patience without evaluations", "train", *fine, "--validation", 0.2, "--patience", 2, mentions=["--patience", "--validate-every"])
rejects("patience of a linear VAE", "train", *data, "--out", "never", "--latent", 2, "--patience", 2, mentions=["--patience", "--validate-every"])
rejects("evaluations after the last epoch", "train", *fine, "--validation", 0.2, "--validate-every", 5, mentions=["--validate-every", "5", "4"])
rejects("a share of no point", "train", *fine, "--validation", 0.001, mentions=["--validation", "0.001 of 120 points"])
rejects("shares that leave nothing", "train", *fine, "--validation", 0.5, "--test", 0.5, mentions=["none to train on"])
rejects("half a point", "train", *fine, "--validation", 1.5, mentions=["--validation", "1.5"])
rejects("a second test split", "train", *plain[1:-2], "--test", 0.1, "--out", "never", mentions=["test points of its own", "--test"])
check("and writes nothing", not os.path.exists("never"))
rejects("a split that was not cut in training", "evaluate", "plain", "--split", "validation", mentions=["without validation points"])
rejects("to cut one afterwards", "evaluate", "plain", "--split", "validation", "--validation", 0.1, mentions=["--validation", "held out nothing"])
rejects("another division than the model's", "evaluate", "deep", "--test", 0.5, mentions=["--test", "0.25 for validation and 12 for test"])
rejects("another limit, which would divide others", "evaluate", "deep", "--split", "validation", "--limit", 30, mentions=["--limit", "--subset"])
rejects("a split that is none", "evaluate", "deep", "--split", "dev", mentions=["--split"])
check("a part of a split may be evaluated", evaluated("deep", "validation", "--subset", 9)["provenance"]["data"]["N"] == 9)
changed = x.copy()
changed[int(rows["test"][0]), 0] += 1
np.save("x.npy", changed)
said = elbo("evaluate", "deep", "--split", "validation").stderr
check("that the data have changed is noticed, wherever they did", "has changed since" in said, said)
changed = x.copy()
changed[int(rows["validation"][0]), 0] += 1
np.save("x.npy", changed)
rejects("to resume with other held-out points", "train", "--resume", "said", mentions=["the validation points of", "fingerprint"])

finish()
