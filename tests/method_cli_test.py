#!/usr/bin/env python3
"""train --method from the command line: LiBI and lagging inference networks, interrupted in any phase, in ensembles, and
what is refused.

usage: method_cli_test.py ELBO_BINARY. Prints one line for each check and closes with 'N passed, N failed'.
"""

import csv
import json
import os
import shutil
import struct
import subprocess
import time

from program import BINARY, check, elbo, finish, rejects, work_in_a_folder_of_its_own

work_in_a_folder_of_its_own("elbo-method-")

small = ["train", "--model", "mlp", "--data", "digits", "--limit", 300, "--latent", 3, "--batch", 100, "--hidden", "16", "--threads", 1]
libi = [*small, "--method", "libi", "--lr", 0.003]
lagging = [*small, "--method", "lagging"]


def read(path):
    with open(path, "rb") as file:
        return file.read()


def rows(run):
    with open(f"{run}/metrics.csv") as file:
        return list(csv.DictReader(file))


def decided(run):
    return [member.get("method") for member in json.load(open(f"{run}/result.json"))["metrics"]["members"]]


def untimed(run):
    return [{name: cell for name, cell in row.items() if name != "seconds"} for row in rows(run)]


# ---- LiBI
grid = ["--eps-hz", "0.1,10", "--members", 2]
run = elbo(*libi, *grid, "--libi-repetitions", 2, "--epochs", 8, "--validation", 0.2, "--validate-every", 2, "--out", "libi", "--json")
check("train --method libi runs", run.returncode == 0, run.stderr)
result = json.loads(run.stdout)
members = result["metrics"]["members"]
check("a list of an epsilon makes an ensemble", len(members) == 4 and len({member["setting"] for member in members}) == 4 and
      "HZ" in members[0]["setting"], members[0]["setting"])
kept = [member["method"] for member in members]
check("each member keeps the repetition with the lowest loss, which result.json has", all(
    len(m["losses"]) == 2 and m["losses"][m["kept_repetition"] - 1] == min(m["losses"]) for m in kept), kept)
table = rows("libi")
check("metrics.csv has the phase of each epoch", [row["phase"] for row in table if row["member"] == "0"] ==
      [f"{phase} {r}" for r in (1, 2) for phase in ("generative", "inference") for _ in (1, 2)], table[0])
first, second = table[0], next(row for row in table if row["phase"] == "inference 1")
check("and what its loss measures", first["elbo"] == "nan" and float(first["henze_zirkler"]) > 0 and float(first["mean_distance"]) >= 0 and
      second["henze_zirkler"] == "nan" and
      abs(float(second["elbo"]) - float(second["expected_log_likelihood"]) + float(second["kl"])) < 1e-9, first)
page = read("libi/report.html").decode()
check("the report says what was done and kept", "Likelihood before inference" in page and "Eq. 44" in page)
check("and why the ELBO need not be the sum of its entropies", "not learned by the ELBO" in members[0]["metrics"]["entropies_obstacle"]
      if "entropies_obstacle" in members[0]["metrics"] else "not learned by the ELBO" in page, members[0]["metrics"])
for member in (0, 3):
    alone = elbo(*libi, *grid, "--libi-repetitions", 2, "--epochs", 8, "--validation", 0.2, "--validate-every", 2, "--only-member", member,
                 "--out", f"alone-{member}")
    check(f"member {member} equals itself trained alone, bit for bit", alone.returncode == 0 and
          read(f"alone-{member}/model.safetensors") == read(f"libi/members/{member:02}.safetensors"), alone.stderr)
run = elbo("evaluate", "libi", "--json")
check("its models are like others", run.returncode == 0 and "elbo" in json.loads(run.stdout)["metrics"], run.stderr)


# ---- lagging
run = elbo(*lagging, "--lagging-segments", 2, "--epochs", 8, "--out", "segments", "--json")
check("--lagging-segments runs", run.returncode == 0 and [row["phase"] for row in rows("segments")] ==
      [f"{phase} {s}" for s in (1, 2) for phase in ("encoder", "joint") for _ in (1, 2)], run.stderr)
decoders = [row["sigma2"] for row in rows("segments")]
check("the encoder alone leaves sigma^2", decoders[0] == decoders[1] and decoders[2] != decoders[3] and decoders[4] == decoders[3], decoders)
lists = ["--lr", "0.001,0.003,0.03"]
run = elbo(*lagging, *lists, "--epochs", 6, "--out", "he", "--json")
members = json.loads(run.stdout)["metrics"]["members"] if run.returncode == 0 else []
check("He et al.'s form runs, and says what each member decided", len(members) == 3 and all(
    m["method"]["encoder_steps"] >= 20 for m in members) and members[1]["method"]["mutual_information"] > 0.1,
      f"{[m['method'] for m in members]} {run.stderr}")
phases = {(row["member"], row["phase"]) for row in rows("he")}
ended = [m["method"]["joint_from_step"] for m in members]
check("its aggressive phase ends at an epoch's end, for each member when its own information has stopped rising",
      all(step is None or (step % 3 == 0 and step > 0) for step in ended) and any(step is not None for step in ended) and
      all(((str(m), "joint") in phases) == (step is not None and step < 18) for m, step in enumerate(ended)), ended)
for member in (0, 2):
    alone = elbo(*lagging, *lists, "--epochs", 6, "--only-member", member, "--out", f"he-{member}")
    check(f"member {member} equals itself trained alone, bit for bit", alone.returncode == 0 and
          read(f"he-{member}/model.safetensors") == read(f"he/members/{member:02}.safetensors"), alone.stderr)
elbo(*lagging, *lists, "--epochs", 3, "--out", "he-3")
further = elbo("train", "--resume", "he-3", "--epochs", 6)
check("it can be given more epochs", further.returncode == 0 and read("he-3/members/01.safetensors") == read("he/members/01.safetensors"),
      further.stderr)


# ---- killed in a phase and resumed: the same bytes as an unbroken run
def starts(*arguments):
    return subprocess.Popen([BINARY, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def phase_in_checkpoint(run):
    data = read(f"{run}/checkpoint/state.safetensors")
    header = json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])
    return int(header["__metadata__"]["training.phase"])


def killed_in(phase, number, name, *arguments):
    """Kills a run while metrics.csv speaks of that phase, tried again where it was over too soon, and resumes it. Returns
    whether its checkpoint lay in the phase of that number, and the resumed run."""
    for attempt in range(5):
        shutil.rmtree(name, ignore_errors=True)
        process = starts(*arguments, "--checkpoint-seconds", 0, "--out", name)
        seen = False
        while process.poll() is None and not seen:
            time.sleep(0.002)
            try:  # a row is in the file with the next checkpoint
                seen = any(row["phase"] == phase for row in rows(name))
            except OSError:
                pass
        process.kill()
        process.communicate()
        if process.returncode < 0 and phase_in_checkpoint(name) == number:
            return True, elbo("train", "--resume", name)
    return False, process


long_libi = [*libi, *grid, "--libi-repetitions", 2, "--epochs", 120]
long_lagging = [*lagging, "--lr", "0.003,0.03", "--epochs", 12]
long_segments = [*lagging, "--lr", "0.001,0.003", "--lagging-segments", 2, "--epochs", 120]
for name, arguments, phases in (("libi", long_libi, {"inference 1": 1, "generative 2": 2}), ("he", long_lagging, {"aggressive": 0, "joint": 0}),
                                ("segments", long_segments, {"encoder 2": 2})):
    unbroken = elbo(*arguments, "--out", f"unbroken-{name}")
    check(f"a long run of {name} is through", unbroken.returncode == 0, unbroken.stderr)
    members = [f"members/{file}" for file in os.listdir(f"unbroken-{name}/members") if file.endswith(".safetensors")]
    for phase, number in phases.items():
        broken = f"{name}-{phase}".replace(" ", "-")
        was_killed, resumed = killed_in(phase, number, broken, *arguments)
        check(f"killed in '{phase}' and resumed, it equals an unbroken run: models, metrics, what was decided",
              was_killed and resumed.returncode == 0 and untimed(broken) == untimed(f"unbroken-{name}") and
              all(read(f"{broken}/{file}") == read(f"unbroken-{name}/{file}") for file in members) and
              decided(broken) == decided(f"unbroken-{name}"), f"killed: {was_killed}; {resumed.stderr}")

# ---- what is refused
for what, arguments, words in (
        ("an unknown method", [*small, "--method", "gan"], ["--method", "libi"]),
        ("an epsilon of another method", [*small, "--eps-hz", 2], ["--eps-hz", "libi"]),
        ("repetitions of another method", [*lagging, "--libi-repetitions", 2], ["--libi-repetitions", "libi"]),
        ("segments of another method", [*libi, "--lagging-segments", 2], ["--lagging-segments", "lagging"]),
        ("an epsilon of zero", [*libi, "--eps-sigma", 0], ["--eps-sigma"]),
        ("no repetition", [*libi, "--libi-repetitions", 0], ["--libi-repetitions"]),
        ("fewer epochs than phases", [*libi, "--libi-repetitions", 6, "--epochs", 11], ["--epochs", "12"]),
        ("fewer epochs than segments need", [*lagging, "--lagging-segments", 6, "--epochs", 11], ["--epochs", "12"]),
        ("annealing in LiBI", [*libi, "--annealing", "linear"], ["--annealing", "libi"]),
        ("a capacity with a lagging encoder", [*lagging, "--penalty", "capacity"], ["--penalty", "vae"]),
        ("patience with LiBI", [*libi, "--validation", 0.1, "--validate-every", 1, "--patience", 2], ["--patience", "libi"]),
        ("a last batch too small for LiBI's statistics", [*libi, "--subset", 203], ["--batch", "3 points"])):
    rejects(what, *arguments, "--out", "never", mentions=words)
check("and nothing is written", not os.path.exists("never"))
rejects("a method of the linear model", "train", "--data", "digits", "--method", "libi", mentions=["--method", "deep"])
rejects("more epochs where phases depend on them", "train", "--resume", "segments", "--epochs", 12, mentions=["--epochs", "phases"])
rejects("another method when resumed", "train", "--resume", "segments", "--method", "vae", mentions=["--method"])
run = elbo("train", "--model", "mlp", "--data", "digits", "--limit", 120, "--hidden", "16", "--latent", 12, "--batch", 60, "--method", "libi",
           "--epochs", 2, "--out", "warned")
check("batches that are small for LiBI's statistics are warned of", run.returncode == 0 and "small for LiBI" in run.stderr, run.stderr)

finish()
