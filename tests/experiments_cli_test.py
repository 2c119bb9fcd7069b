"""Every experiment is made of units: a run that is killed at any moment, within a unit or between two, is resumed to the same result;
units can be run by themselves; what a run would cost is said beforehand.
"""

import json
import os
import re
import random
import shutil
import signal
import statistics
import struct
import subprocess
import time

from program import BINARY, check, elbo, finish, rejects, work_in_a_folder_of_its_own

work_in_a_folder_of_its_own("experiments")
random.seed(os.getpid())
DATA = ["--data", "ppca", "--limit", 200, "--subset", 0, "--threads", 1]
DIGITS = ["--data", "digits", "--limit", 200, "--subset", 0, "--threads", 1, "--batch", 50]
# Long enough to be hit, short enough to be ended.
EXPERIMENTS = {
    "ppca-landscape": [*DATA, "--grid", 41, "--first", 4, "--second", 5],
    "ppca-elbo": [*DATA, "--latent", "1,2,3", "--frozen-at", 2, "--steps", 2500],
    "stochastic-elbo": [*DATA, "--latent", 2, "--steps", 2500, "--lr", "0.01,0.003"],
    "encoders": [*DATA, "--latent", 2, "--epochs", 4, "--lr", "0.001,0.003", "--batch", 50],
    "collapse": [*DATA, "--latent", 2, "--hidden", "32,16", "--sigma2", "1,0.1", "--epochs", 40, "--lr", "0.001,0.003", "--members", 2,
                 "--batch", 50],
    "luecke-entropies": [*DATA, "--runs", 2, "--ring-runs", 12, "--points", 60, "--batch", 30, "--samples", 3, "--linear-epochs", 60,
                         "--image-epochs", 20, "--ring-epochs", 10, "--latent", 2],
    "luecke-noise": ["--threads", 1, "--runs", 3, "--points", 40, "--batch", 20, "--small-batch", 10, "--samples", 2, "--epochs", 25],
    "luecke-states": [*DATA, "--points", 50, "--batch", 25, "--samples", 2, "--frames", 3, "--shown", 20, "--at", "1,4", "--linear-epochs", 30,
                      "--image-epochs", 15, "--ring-epochs", 15, "--latent", 2],
    "asperti-units": [*DIGITS, "--hidden", "32,16", "--latent", 4, "--epochs", 6, "--members", 2, "--conv-members", 1, "--conv-epochs", 1,
                      "--pictures", 20, "--law-data", "sprites"],
    "asperti-trajectories": [*DIGITS, "--hidden", "32,16", "--epochs", 6, "--every", 5, "--members", 2],
    "asperti-noise": [*DIGITS, "--hidden", "32,16", "--latent", 4, "--lambda", 0.1, "--lr", 0.003, "--base-epochs", 30, "--epochs", 15, "--seeds",
                      2, "--units", 2, "--increment", 1, "--settle", 1],
    "asperti-calibrate": [*DIGITS, "--hidden", "32,16", "--latent", 4, "--lambda", 0.5, "--lambdas", "0.1,0.5,2", "--latents", "2,4", "--epochs", 8,
                          "--seeds", 2, "--lr", 0.003],
    "asperti-two-stage": [*DIGITS, "--hidden", "32,16", "--latent", 4, "--lambda", 0.1, "--epochs", 6, "--second-hidden", "32,32",
                          "--second-epochs", 12, "--members", 3, "--points", 60, "--knn-repetitions", 2],
    "luecke-streaming": [*DATA, "--points", 100, "--latent", 3, "--image-latent", 3, "--steps", 1500, "--sweeps", 20, "--stream-steps", 40],
    "yacoby-table1": ["--threads", 1, "--data-sets", "linear-jtex,gaussian", "--methods", "vae,lagging,libi", "--settings",
                      "vae,lagging-5,libi-1-0.5-0.5-6", "--sets", 2, "--restarts", 2, "--points", 40, "--epochs", 600, "--knn-repetitions", 3],
    "yacoby-posteriors": ["--threads", 1, "--restarts", 2, "--points", 40, "--epochs", 300, "--importance-samples", 50],
    "yacoby-optima": ["--threads", 1, "--grid", 5, "--starts", 2, "--members", 2, "--points", 40, "--steps", 8000],
}


def result(directory):
    """What a run found, without what depends on when it was run."""
    found = json.load(open(f"{directory}/result.json"))["metrics"]
    return {name: value for name, value in found.items() if not name.endswith("_seconds")}


def files(directory):
    """Models and pictures, by name."""
    found = {}
    for folder, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, directory)
            if "checkpoint" not in relative and name.endswith((".safetensors", ".svg")):
                found[relative] = open(path, "rb").read()
    return found


def done(directory):
    return {name for name in os.listdir(directory) if os.path.exists(f"{directory}/{name}/unit.json")} if os.path.isdir(directory) else set()


for command, options in EXPERIMENTS.items():
    begin = time.time()
    run = elbo(command, *options, "--out", command)
    seconds = time.time() - begin
    check(f"{command} runs", run.returncode == 0, run.stderr)
    broken = f"{command}-broken"
    kills = 0
    arguments = [command, *options, "--out", broken]
    for how in [signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGINT, None, None]:
        process = subprocess.Popen([BINARY, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if how:
            while process.poll() is None and not os.path.exists(f"{broken}/config.json"):
                time.sleep(0.001)
            time.sleep(random.uniform(0, 0.4) * seconds)
            if process.poll() is None:
                process.send_signal(how)
        message = process.communicate()[1]
        kills += process.returncode != 0
        before = done(broken)
        arguments = [command, "--resume", broken]
        # Before it has begun, or once all units are done, a signal ends it as any program.
        if process.returncode > 0 and process.returncode != 128 + (how or 0):
            check(f"{command} is resumed", False, f"status {process.returncode}, {message}")
        if process.returncode > 128 and not os.path.exists(f"{broken}/result.json"):
            check(f"{command} says how to go on", f"elbo {command} --resume {broken}" in message, message)
    check(f"{command}, killed {kills} times, finds what an unbroken run does", result(broken) == result(command))
    ours, theirs = files(broken), files(command)
    check("and leaves the same models and figures", ours == theirs and theirs,
          [name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name)])

# ---- a unit whose result is there is not run again
stamp = os.stat("encoders/linear/members/00.safetensors").st_mtime_ns
shutil.rmtree("encoders/one-hidden")
expected = result("encoders")
run = elbo("encoders", "--resume", "encoders")
check("a unit that was taken away is run again, and no other", run.returncode == 0 and result("encoders") == expected and
      os.stat("encoders/linear/members/00.safetensors").st_mtime_ns == stamp, run.stderr)

# ---- their models are models: they know their data and draw what the experiment drew
for folder, member, data in (("linear", 1, "ppca:1"), ("images", 0, "ppca"), ("ring-10", 11, "ppca-ring:11")):
    run = elbo("evaluate", f"luecke-entropies/{folder}", "--member", member, "--json")
    found = json.loads(run.stdout) if run.returncode == 0 else {"config": {}}
    listed = json.load(open(f"luecke-entropies/{folder}/members/members.json"))["members"]
    bound = next(entry["elbo"] for entry in listed if entry["member"] == member)
    check(f"evaluate opens a model of {folder}, on its data", found["config"].get("data") == data and
          found["config"]["model_card"]["data"]["fingerprint"] == found["provenance"]["data"]["fingerprint"] and
          abs(found["metrics"]["elbo"] - bound) < 0.2 * abs(bound) + 3, run.stderr or (found["config"], bound))
run = elbo("luecke-entropies", "--only", "ring", "--data", "ppca", "--limit", 50, "--ring-runs", 10, "--points", 40, "--batch", 20, "--samples", 2,
           "--ring-epochs", 25, "--lr", 0.15, "--out", "broke")
words = run.stdout + open("broke/report.html").read() + open("broke/result.json").read()
check("runs that broke are counted apart", run.returncode == 0 and "more broke" in words and not re.search(r"\bnan\b", words), run.stdout)
for folder in ("luecke-entropies/linear-fixed", "asperti-trajectories/paths"):
    run = elbo("evaluate", folder, "--json")
    check(f"evaluate says of {folder} that its sigma^2 was fixed", run.returncode == 0 and
          json.loads(run.stdout)["metrics"]["entropies_obstacle"] == "σ² is fixed", run.stderr or run.stdout)
gaps = [abs(json.loads(elbo("evaluate", "luecke-noise/rate", "--member", member, "--json").stdout)["metrics"]["entropy_gap_percent"])
        for member in range(3)]
check("luecke-noise looks at the models that its runs ended with", abs(sorted(gaps)[1] - result("luecke-noise")["rate"]["last_state_percent"]) < 1e-3, gaps)
for folder in ("luecke-streaming/pca", "luecke-streaming/images"):
    run = elbo("evaluate", folder + "/model.safetensors", "--json")
    check(f"evaluate opens the model of {folder}, on its data", run.returncode == 0 and json.loads(run.stdout)["metrics"]["entropies_obstacle"] == "" and
          abs(json.loads(run.stdout)["metrics"]["entropy_sum"] - result("luecke-streaming")[folder.partition("/")[2]]["of_variances"]) < 1e-3,
          run.stderr or run.stdout)
for folder in ("asperti-units/dense", "asperti-units/no-kl", "asperti-units/conv", "asperti-units/law-sprites", "asperti-trajectories/paths", "asperti-noise/seed-1"):
    listed = json.load(open(f"{folder}/members/members.json"))["members"]
    run = elbo("evaluate", folder, "--member", len(listed) - 1, "--json")
    found = json.loads(run.stdout)["metrics"] if run.returncode == 0 else {}
    check(f"evaluate opens a model of {folder}, on its data", run.returncode == 0 and
          abs(found["elbo"] - listed[-1]["elbo"]) < 1e-4 * abs(listed[-1]["elbo"]), run.stderr or (found["elbo"], listed))
run = elbo("sample", "asperti-noise/seed-0/base", "--out", "drawn.png")
check("sample opens the model below the noise", run.returncode == 0 and os.path.exists("drawn.png"), run.stderr)
run = elbo("encode", "luecke-states/ring", "--json", "--out", "codes.npz")
check("encode writes what it makes of its points", run.returncode == 0 and json.loads(run.stdout)["metrics"]["arrays"]["means"]["shape"] == [50, 2],
      run.stderr)

# ---- both stages and what judges them are kept, and few held-out points are not compared
kept = {f"models/{folder}/members/0{member}.safetensors" for folder in ("judge", "first", "second") for member in range(3)}
found = result("asperti-two-stage")
header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (20, 4), }".ljust(117) + b"\n"
open("z.npy", "wb").write(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + struct.pack("<80f", *(i % 7 / 3 - 1 for i in range(80))))
run = elbo("evaluate", "asperti-two-stage/models/second", "--member", 1, "--data", "npy:z.npy", "--json")
card = json.loads(run.stdout)["config"]["model_card"] if run.returncode == 0 else {}
check("evaluate opens a second stage, whose card speaks of z", card and card["member"] == 200001 and card["data"]["dimensions"] == 4 and
      card["data"]["points"] == 200 and card["preprocessing"]["kind"] == "none", run.stderr or card)
rejects("a second stage without z", "evaluate", "asperti-two-stage/models/second", "--member", 1, mentions=["z of first/members/01.safetensors"])
listed = json.load(open("asperti-two-stage/models/second/members/members.json"))["members"]
check("second stages are listed with the ELBO that was measured", [entry["elbo"] for entry in listed] == found["second_elbo"]["of_each"],
      (listed, found.get("second_elbo")))
check("the models of both stages are kept", kept <= set(files("asperti-two-stage")), kept)
check("a perfect second stage is judged beside ours, and real pictures beside both",
      found["pictures"]["held_out"]["knn"]["mean"] < found["pictures"]["decoded"]["knn"]["mean"] and
      len({*found["pictures"]["held_out"]["knn"]["of_each"]}) == 1 and
      len({*found["pictures"]["two_stages"]["frechet"]["of_each"]}) == 3, found["pictures"])
check("verdicts are about both stages", len(found["claims"]) == 7 and all("models" in claim["here"] for claim in found["claims"]), found["claims"])
rejects("fewer points than z has dimensions", "asperti-two-stage", *DIGITS, "--latent", 16, "--points", 16, "--out", "never",
        mentions=["--points", "16 dimensions"])
header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (40, 4, 4), }".ljust(117) + b"\n"
open("grey.npy", "wb").write(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(range(160)) * 4)
rejects("data without a test split", "asperti-two-stage", "--data", "npy:grey.npy", "--out", "never", mentions=["no test split", "--test"])

# ---- what a likelihood without data takes, beside one that reads them: 200 points of 10 dimensions in f64, and no more for three variances
found = result("luecke-streaming")
for key in ("pca", "images"):
    few, many = found[f"{key}_bytes"]["of_variances"], found[f"{key}_bytes"]["of_data"]
    points = found[key]["points"] * found[key]["dimensions"] * 8
    check(f"luecke-streaming says how much memory {key} takes either way", 3 * 8 <= few <= 4096 and points <= many <= 10 * points + 65536, (few, many))

# ---- Table 1: of linear decoders the exact likelihood is the likelihood; the truth is measured as the models are
found = result("yacoby-table1")
check("yacoby-table1 has the exact likelihood of every row", len(found["rows"]) == 5 and
      all(row["exact_log_likelihood"] is not None and row["exact_log_likelihood"] == row["log_likelihood"] for row in found["rows"]), found["rows"])
for data in ("linear-jtex", "gaussian"):
    truth = found[f"{data}_truth"]
    check(f"and what the truth of {data} says of itself", 0 < abs(truth["knn"]) < 3 and truth["log_likelihood"] is not None, truth)
    unit = json.load(open(f"yacoby-table1/{data}-truth/unit.json"))["result"]
    check("as the unit of that name measured it", abs(statistics.fmean(unit["knn"]) - truth["knn"]) < 1e-12 and
          abs(statistics.fmean(unit["log_likelihoods"]) - truth["log_likelihood"]) < 1e-12, unit)

# ---- only some of them
run = elbo("ppca-elbo", *EXPERIMENTS["ppca-elbo"], "--only", "k-3,k-1", "--out", "some")
rows = result("some")["rows"] if run.returncode == 0 else []
check("--only runs these units", [row["latent"] for row in rows] == [1, 3] and done("some") == {"k-1", "k-3"}, run.stderr)
check("and says how many there are", result("some")["units"] == {"here": ["k-3", "k-1"], "of": 3}, run.stderr)
rejects("a rate that stands twice", "collapse", *DATA, "--latent", 2, "--lr", "0.001,0.01,0.001", "--out", "never", mentions=["--lr", "0.001 stands twice"])
rejects("units of the same name", "asperti-units", "--data", "digits", "--limit", 60, "--subset", 0, "--law-data", "digits,digits", "--out", "never", mentions=["two units", "law-digits"])
run = elbo("ppca-elbo", "--resume", "some")
check("the others follow, to the whole result", run.returncode == 0 and result("some") == result("ppca-elbo"), run.stderr)
rejects("a unit that is not there", "ppca-elbo", *EXPERIMENTS["ppca-elbo"], "--only", "k-4", "--out", "never", mentions=["--only", "k-4", "k-1"])
run = elbo("ppca-elbo", "--resume", "some", "--only", "k-2")
check("a part of a whole run leaves it whole", run.returncode == 0 and result("some") == result("ppca-elbo"), run.stderr)
rejects("options that the run does not have", "ppca-elbo", "--resume", "some", "--steps", 7, mentions=["--steps", "2500"])
rejects("a plane of three dimensions", "asperti-trajectories", *DIGITS, "--latent", 3, "--out", "never", mentions=["--latent", "two dimensions"])
rejects("numbers that no sigmoid gives", "asperti-noise", *DATA, "--out", "never", mentions=["--data", "from 0 to 1"])
rejects("images that a network is not for", "asperti-units", "--data", "sprites", "--limit", 20, "--out", "never",
        mentions=["--conv-members", "28 x 28"])
check("and writes nothing", not os.path.exists("never"))
open("some/k-2/unit.json", "w").write("{}")
rejects("a unit's result that is none", "ppca-elbo", "--resume", "some", mentions=["k-2/unit.json", "remove it"])

# ---- what it costs
for command, options in EXPERIMENTS.items():
    run = elbo(command, *options, "--dry-run")
    keys = done(command)
    check(f"{command} --dry-run names its units and a time", run.returncode == 0 and "on this machine" in run.stdout and keys and
          all(f"\n{key} " in run.stdout for key in keys), run.stdout + run.stderr)

# ---- pictures are drawn when a unit runs: these 196 GB are counted only, and what cannot be is refused all the same
many = ["asperti-units", "--data", "npy:grey.npy", "--limit", 16000000, "--conv-members", 0, "--latent", 2, "--hidden", "8", "--members", 1]
run = elbo(*many, "--law-data", "faces", "--dry-run")
check("a dry run draws no pictures", run.returncode == 0 and "law-faces" in run.stdout, run.stdout + run.stderr)
rejects("other data that there are none of", *many, "--law-data", "faces,facets", "--out", "never", mentions=["unknown data set", "facets"])
rejects("other data that are drawn by no number", *many, "--law-data", "faces:3", "--out", "never", mentions=["takes nothing after its name"])
rejects("a split of other data that these have", *many, "--law-data", "digits", "--test", 0.1, "--out", "never", mentions=["--test", "digits"])
rejects("other data that no sigmoid gives", *many, "--law-data", "faces", "--preprocess", "logit", "--out", "never", mentions=["from 0 to 1"])
check("and writes nothing", not os.path.exists("never"))

finish()
