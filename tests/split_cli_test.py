"""--split: ensembles that run in parts, by several processes of which some are killed, give what they give in one piece, to the byte; what
is told of parts meanwhile; and what is refused.
"""

import json
import os
import random
import subprocess

from program import BINARY, check, elbo, finish, rejects, work_in_a_folder_of_its_own
from sweeps import MPI_ENVIRONMENT, MPIRUN, kill_children, numbers, same, start_elbo, units, wait_for

work_in_a_folder_of_its_own("split")
random.seed(os.getpid())

ON_CPU = ["--threads", 1, "--device", "cpu"]
# Two units of four members each; the second one's break.
COLLAPSE = ["collapse", "--data", "ppca", "--limit", 200, "--subset", 0, "--latent", 2, "--hidden", "32,16", "--sigma2", "1,0.1", "--lr", "0.001,3",
            "--members", 1, "--batch", 50, "--checkpoint-seconds", 0.2, "--clip", 0, "--evaluate-at", "1,10,40", *ON_CPU]
EXPERIMENTS = {
    # Name: (its words, the most members of a part, how many kills)
    "collapse": ([*COLLAPSE, "--epochs", 300], 3, 6),
    "alone": ([*COLLAPSE, "--epochs", 40], 1, 0),  # parts of one member
    # At these rates moments overflow before losses do: of some parts no member can be saved.
    "overflowing": ([*("0.3" if word == "0.001,3" else word for word in COLLAPSE), "--epochs", 40], 1, 0),
    "asperti-overflowing": (["asperti-units", "--data", "digits", "--limit", 60, "--subset", 0, "--members", 4, "--epochs", 8, "--conv-members", 0,
                             "--law-data", "none", "--pictures", 20, "--lr", 0.1, *ON_CPU], 1, 0),
    "luecke-entropies": (["luecke-entropies", "--data", "ppca", "--limit", 100, "--subset", 0, "--runs", 5, "--ring-runs", 12, "--points", 200,
                          "--batch", 100, "--samples", 5, "--linear-epochs", 40, "--image-epochs", 20, "--ring-epochs", 60, *ON_CPU], 2, 6),
    # Of each data set the best of four restarts, which lie in two or three parts.
    "yacoby-table1": (["yacoby-table1", "--data-sets", "linear-jtex,cubic-jtex", "--methods", "vae,libi", "--settings", "vae,libi-1-0.5-0.5-1",
                       "--sets", 2, "--restarts", 4, "--points", 60, "--epochs", 200, "--knn-repetitions", 5, "--importance-samples", 20, *ON_CPU], 3, 0),
    "asperti-units": (["asperti-units", "--data", "digits", "--limit", 300, "--subset", 0, "--members", 5, "--epochs", 2, "--conv-members", 0,
                       "--law-data", "none", "--pictures", 20, *ON_CPU], 2, 0),
    "asperti-trajectories": (["asperti-trajectories", "--data", "digits", "--limit", 200, "--subset", 0, "--members", 3, *ON_CPU], 1, 0),
}


def status(directory):
    return json.loads(elbo("status", directory, "--json").stdout)


def without_times(state):
    """What status says of a run that has ended, but for the seconds that it took."""
    return [{name: value for name, value in unit.items() if name != "seconds"} for unit in state["units"]], state["done"], state["of"], state["share"]


def rows(directory, key):
    """metrics.csv without the seconds."""
    lines = [line.split(",") for line in open(f"{directory}/{key}/metrics.csv").read().split("\n")]
    seconds = lines[0].index("seconds")
    return [line[:seconds] + line[seconds + 1:] for line in lines]


for name, (words, most, kills) in EXPERIMENTS.items():
    whole, split = f"{name}-whole", f"{name}-split"
    run = elbo(*words, "--out", whole)
    check(f"{name}: one process runs it", run.returncode == 0, run.stderr)
    process = start_elbo("sweep", *words, "--split", most, "--out", split, "--workers", 2, "--lease", 1, "--worker-restarts", 100)
    done = kill_children(process, kills, 0.3) if wait_for(lambda: os.path.exists(f"{split}/units.json")) else 0
    out, err = process.communicate()
    check(f"{name}: two workers, killed {done} times, run it in parts of {most}", process.returncode == 0, err)
    parts = json.load(open(f"{split}/units.json"))
    check(f"{name}: there are parts", any("parts" in unit for unit in parts), parts)
    check(f"{name}: with the numbers of one process", *same(numbers(split), numbers(whole)))
    check(f"{name}: and its words", out.replace(f"{split}/", "RUN/") == run.stdout.replace(f"{whole}/", "RUN/"), out)
    check(f"{name}: and its status", without_times(status(split)) == without_times(status(whole)), status(split))
    check(f"{name}: no part is left", sorted(os.listdir(split)) == sorted(os.listdir(whole)), os.listdir(split))

for key in units("collapse-whole"):
    check(f"{key}: the members' epochs are those of the whole", rows("collapse-split", key) == rows("collapse-whole", key))
check("and members did break", json.load(open("collapse-whole/lr-3-trial-0/unit.json"))["result"]["stopped"])

# ---- what is told meanwhile, and resuming
run = elbo(*COLLAPSE, "--epochs", 300, "--out", "begun", "--split", 3, "--begin")
state = status("begun")
parts = [part["key"] for unit in state["units"] for part in unit["parts"]]
check("each unit has two parts", run.returncode == 0 and state["of"] == 2 and len(parts) == 4 and "lr-0.001-trial-0.members-2-3" in parts, (run.stderr, state))
worker = start_elbo("collapse", "--resume", "begun", "--work-only", "--lease", 1)
running = lambda: [part for unit in status("begun")["units"] for part in unit.get("parts", []) if part["state"] == "running"]
seen = wait_for(lambda: running())
worker.terminate()
out, err = worker.communicate()
check("a part is somebody's", seen and worker.returncode == 143, err)
text = elbo("status", "begun").stdout
check("and status shows parts below their unit", "\n  lr-0.001-trial-0.members-0-1" in text and "of 4 parts" in text, text)
rejects("another size of parts", "sweep", "--resume", "begun", "--split", 2, mentions=["--split", "the run has 3"])
run = elbo("collapse", "--resume", "begun")
check("one process ends what was begun in parts", run.returncode == 0 and same(numbers("begun"), numbers("collapse-whole"))[0], run.stderr)

# ---- some units only, and what it would cost
run = elbo("sweep", *COLLAPSE, "--epochs", 300, "--out", "some", "--split", 3, "--workers", 2, "--only", "lr-0.001-trial-0", "--json")
check("a unit by name is all of its parts", run.returncode == 0 and json.loads(run.stdout)["metrics"]["units"] == {"here": ["lr-0.001-trial-0"], "of": 2}, run.stderr)
check("and no part of another", not any(name.startswith("lr-3") for name in os.listdir("some")), os.listdir("some"))
run = elbo(*COLLAPSE, "--split", 3, "--dry-run")
check("--dry-run says how many parts", run.returncode == 0 and run.stdout.count("in 2 parts") == 2, run.stdout + run.stderr)

# ---- ranks
if "without MPI" in elbo("sweep", "collapse", "--launcher", "mpi", "--only", "nothing").stderr or not MPIRUN:
    print("skipped: ranks, as there is no MPI, or no mpirun of it")
else:
    run = subprocess.run([*map(str, [*MPIRUN, "-n", 3, BINARY, "sweep", *COLLAPSE, "--epochs", 300, "--split", 1, "--out", "ranks", "--launcher", "mpi"])],
                         env=MPI_ENVIRONMENT, capture_output=True, text=True, timeout=300)
    check("ranks run parts, and the root joins them", run.returncode == 0 and same(numbers("ranks"), numbers("collapse-whole"))[0], run.stderr)

# ---- what is refused
rejects("parts as large as the whole", *COLLAPSE, "--split", 4, "--out", "never", mentions=["--split", "more than 4 members"])
rejects("an experiment without ensembles", "ppca-elbo", "--data", "ppca", "--limit", 200, "--subset", 0, "--latent", "1,2", "--frozen-at", 2, "--split", 1,
        "--out", "never", mentions=["--split", "no unit here is an ensemble"])
rejects("parts by name", *COLLAPSE, "--split", 3, "--only", "lr-3-trial-0.members-0-1", "--out", "never", mentions=["--only", "no unit"])
rejects("parts of nothing", *COLLAPSE, "--split", 0, "--out", "never", mentions=["--split"])
check("and nothing is written", not os.path.exists("never"))

finish()
