#!/usr/bin/env python3
"""elbo compare: what it says of runs is what their own files say, and it says what cannot be compared.

usage: compare_cli_test.py ELBO_BINARY. Prints one line for each check and closes with 'N passed, N failed'.
"""

import csv
import json
import os
import shutil
import statistics

from program import check, elbo, finish, rejects, work_in_a_folder_of_its_own

work_in_a_folder_of_its_own("elbo-compare-")


def load(path):
    with open(path) as file:
        return json.load(file)


def metrics_of(run):
    return load(f"{run}/result.json")["metrics"]


def train(run, *options, command="train", data=("--data", "ppca", "--limit", 300)):
    done = elbo(command, *data, "--latent", 2, "--epochs", 4, *options, "--out", run)
    check(f"{run} ends", done.returncode == 0, done.stderr)


def compare(*arguments):
    """The result, and what is printed without --json."""
    out = f"compared-{len(os.listdir('.'))}"
    done = elbo("compare", *arguments, "--json", "--out", out)
    check(f"compare {' '.join(map(str, arguments))}", done.returncode == 0, done.stderr)
    printed = elbo("compare", *arguments, "--out", out + "-text")
    return json.loads(done.stdout)["metrics"] if done.returncode == 0 else {}, printed.stdout, out


def columns(text, name):
    """The cells of a row of a table for people."""
    return next((line.split()[1:] for line in text.split("\n") if line.startswith(name + " ")), None)


deep = ["--model", "mlp", "--hidden"]
train("narrow", *deep, 8)
train("wide", *deep, 16, "--lr", "0.01")
train("linear")

# ---- two runs on the same data
found, text, out = compare("narrow", "wide")
both = [metrics_of("narrow"), metrics_of("wide")]
config = [load(f"{run}/config.json")["config"] for run in ("narrow", "wide")]
check("the options that differ are those of the two config.json", set(found["options"]) ==
      {name for name in config[0] if config[0][name] != config[1][name]} == {"hidden", "lr"}, found["options"])
check("each with its values", found["options"] == {"hidden": ["8", "16"], "lr": ["0.001", "0.01"]} and columns(text, "hidden") == ["8", "16"], text)
numbers = {name for name, value in both[0].items() if isinstance(value, (int, float))}
check("every number of the results is compared, and no list", set(found["metrics"]) == numbers, set(found["metrics"]) ^ numbers)
check("with its value in each run, and the difference to the first", all(
    row["values"] == [m[name] for m in both] and row["differences"] == [0, both[1][name] - both[0][name]] for name, row in found["metrics"].items()))
check("and its unit", found["metrics"]["elbo"]["unit"] == "nats per data point")
best = {name: found["metrics"][name]["best"] for name in ("elbo", "mse", "kl", "sigma2")}
check("the highest ELBO is the best, and the lowest error; of a KL none is", best == {
    "elbo": int(both[1]["elbo"] > both[0]["elbo"]), "mse": int(both[1]["mse"] < both[0]["mse"]), "kl": None, "sigma2": None}, best)
elbos = [f"{m['elbo']:.3f}" for m in both]
check("the table marks it", f"* {elbos[best['elbo']]}" in text and "* is the best" in text and elbos[1 - best["elbo"]] in text, text)
check("of runs that can be compared nothing else is said", found["notes"] == [] and found["seeds"] == [], found["notes"])
check("the report has it all", all(word in open(f"{out}/report.html").read() for word in ("hidden", "Options", elbos[0], "<svg")) and
      load(f"{out}/result.json")["metrics"] == found)


def curve(run, member="0", file="metrics.csv"):
    with open(f"{run}/{file}") as file:
        return [(float(row["epoch"]), float(row["elbo"])) for row in csv.DictReader(file) if row.get("member", "0") == member]


def drawn(out):
    """The series of the figure by name: pairs of x and y."""
    series = {}
    with open(f"{out}/figures/elbo.csv") as file:
        for row in csv.DictReader(file):
            series.setdefault(row["series"], []).append((float(row["epoch"]), float(row["nats per data point"])))
    return series


check("curves are those of metrics.csv", drawn(out) == {"narrow": curve("narrow"), "wide": curve("wide")}, drawn(out))

train("watched", *deep, 8, "--validation", 0.2, "--validate-every", 2)
_, _, out = compare("narrow", "watched")
check("of a run that watched a validation split its curve is there, too", drawn(out) == {
    "narrow": curve("narrow"), "watched": curve("watched"), "watched, validation": curve("watched", file="validation.csv")} and
      len(drawn(out)["watched, validation"]) == 2, drawn(out))

# ---- seeds
for seed in (1, 2, 3):
    train(f"seed-{seed}", *deep, 8, "--seed", seed, "--threads", seed)
shutil.copytree("seed-1", "again-1")
found, text, _ = compare("seed-1", "wide", "seed-3", "seed-2", "again-1")
check("runs that differ in the seed alone are found among others", [group["runs"] for group in found["seeds"]] == [[0, 2, 3]], found["seeds"])
values = [metrics_of(f"seed-{seed}")["elbo"] for seed in (1, 3, 2)]
row = found["seeds"][0]["metrics"]["elbo"]
check("with mean, standard deviation and standard error over them", row["n"] == 3 and abs(row["mean"] - statistics.mean(values)) < 1e-9 and
      abs(row["standard_deviation"] - statistics.stdev(values)) < 1e-9 and abs(row["standard_error"] - statistics.stdev(values) / 3**0.5) < 1e-9, row)
check("a copy counts once, and that is said", any("again-1 repeats" in note for note in found["notes"]), found["notes"])
check("that the seed makes other data is said, and then none is best", any("fingerprint" in note for note in found["notes"]) and
      all(row["best"] is None for row in found["metrics"].values()), found["notes"])
check("the table for people says the same", f"{statistics.mean(values):.3f}" in text and "1, 3, 2" in text, text)

# ---- what cannot be compared
found, text, _ = compare("narrow", "linear")
check("what only one has is named", any(note.startswith("only linear has") and "log_likelihood" in note for note in found["notes"]), found["notes"])
train("unit", *deep, 8, "--standardize")
found, text, _ = compare("narrow", "unit")
check("other preprocessing is named, and then none is best", "preprocessing differs" in text and found["metrics"]["elbo"]["best"] is None, text)
train("diagonal", *deep, 8, "--likelihood", "diagonal")
found, text, _ = compare("narrow", "diagonal")
check("the two Gaussian likelihoods can be compared", not any("likelihoods" in note for note in found["notes"]) and
      found["metrics"]["elbo"]["best"] is not None and found["metrics"]["sigma2"]["values"][1] is None, found["notes"])
digits = ("--data", "digits", "--limit", 50, "--preprocess", "scale")
train("gaussian", *deep, 8, data=digits)
train("bernoulli", *deep, 8, "--likelihood", "bernoulli", data=digits)
found, text, _ = compare("gaussian", "bernoulli")
check("other likelihoods are named, and then none is best", "likelihoods differ (gaussian: gaussian, bernoulli: bernoulli)" in text and
      found["metrics"]["elbo"]["best"] is None, text)

# ---- ensembles and other commands
train("ensemble", *deep, 8, "--lr", "1e-3,1e-2,1e-4")
found, _, out = compare("ensemble", "narrow")
whole = metrics_of("ensemble")
check("an ensemble is compared by its best member", found["metrics"]["elbo"]["values"][0] == max(m["metrics"]["elbo"] for m in whole["members"]) and
      drawn(out)["ensemble"] == curve("ensemble", str(whole["member"])))
found, _, out = compare("ensemble", "wide", "--member", 0)
check("or by the one named", found["metrics"]["elbo"]["values"][0] == whole["members"][0]["metrics"]["elbo"] and drawn(out)["ensemble"] == curve("ensemble"))
rejects("a member that is not there", "compare", "ensemble", "wide", "--member", 2, "--out", "never", mentions=["--member", "wide"])
small = ["--model", "mlp", "--hidden", "6", "--sigma2", "1,0.1", "--members", 1, "--preprocess", "none"]
for run, lr in (("collapse", "1e-3"), ("faster", "1e-2")):
    train(run, *small, "--lr", lr, command="collapse")
found, text, _ = compare("collapse", "faster", "narrow")
row = next(row for row in metrics_of("faster")["rows"] if row["sigma2"] == 0.1 and row["learned"])
check("rows of collapse are compared by their settings", found["metrics"].get("rows[sigma2 0.1, learned true, annealed false].elbo", {})
      .get("values", [0, 0])[1] == row["elbo"], list(found["metrics"]))
check("and that another command wrote a run is said", "commands differ" in text and "narrow: train" in text, text)
done = elbo("encoders", "--data", "ppca", "--limit", 60, "--preprocess", "none", "--latent", 2, "--epochs", 1, "--lr", "1e-3", "--out", "encoders")
found, text, out = compare("encoders", "narrow")
check("runs without a metric in common are no error", done.returncode == 0 and found["metrics"] == {} and "No metric is in two of the runs" in text, text)
check("encoders have a curve for each folder", {"encoders, linear", "encoders, two-hidden", "narrow"} <= set(drawn(out)), list(drawn(out)))

# ---- what is no run
os.makedirs("empty")
shutil.copytree("narrow", "a,b/narrow")
shutil.copytree("narrow", "unfinished")
os.remove("unfinished/result.json")
rejects("a folder that is no run", "compare", "narrow", "empty", "--out", "never", mentions=["'empty'", "no run directory"])
rejects("a folder that is not there", "compare", "narrow", "nowhere", "--out", "never", mentions=["'nowhere'"])
rejects("a run that is not finished", "compare", "narrow", "unfinished", "--out", "never", mentions=["'unfinished'", "not finished"])
rejects("a run named twice, by another name", "compare", "narrow", "./narrow/", "--out", "never", mentions=["twice"])
rejects("a single run", "compare", "narrow", "--out", "never", mentions=["two runs"])
rejects("a directory that is not empty", "compare", "narrow", "wide", "--out", "linear", mentions=["not empty"])
check("none of which leaves anything", not os.path.exists("never"))
found, _, _ = compare("narrow", "a,b/narrow")
check("runs of one name in other folders are told apart by them, commas or not", [run["label"] for run in found["runs"]] == ["narrow", "a,b/narrow"], found["runs"])
run = elbo("compare", "narrow", "wide")
check("without --out it is a run directory of its own", run.returncode == 0 and len(os.listdir("runs")) == 1 and
      os.path.exists(f"runs/{os.listdir('runs')[0]}/report.html"), run.stderr)

finish()
