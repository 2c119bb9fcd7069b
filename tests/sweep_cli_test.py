"""elbo sweep and elbo status: units in many processes give what one process gives, whoever is killed, frozen or out of room; and what
is told of them meanwhile. tests/kill_campaign.py does the same for longer.
"""

import json
import os
import random
import resource
import signal
import stat
import subprocess
import time

from program import BINARY, check, elbo, finish, rejects, work_in_a_folder_of_its_own
from sweeps import MPI_ENVIRONMENT, MPIRUN, TINY, children, kill_children, numbers, same, start, start_elbo, units, wait_for

work_in_a_folder_of_its_own("sweep")
random.seed(os.getpid())
SHORT, LONG = [*TINY, "--epochs", 40], [*TINY, "--epochs", 400]


def status(directory):
    return json.loads(elbo("status", directory, "--json").stdout)


def rank_of(process, rank):
    """The process of a rank that mpirun, or what it started for that, has below it."""
    below = children(process.pid)
    while below:
        for pid in below:
            variables = open(f"/proc/{pid}/environ", "rb").read().split(b"\0")
            if any(f"{name}={rank}".encode() in variables for name in ("OMPI_COMM_WORLD_RANK", "PMI_RANK")):
                return pid
        below = [pid for parent in below for pid in children(parent)]


def state_of(directory, state):
    return [unit for unit in status(directory)["units"] if unit["state"] == state]


run = elbo("collapse", *SHORT, "--out", "one")
check("one process runs it", run.returncode == 0, run.stderr)
expected, text = numbers("one"), run.stdout.replace("one/", "RUN/")
check("and all is done", status("one")["done"] == 6 and not os.path.exists("one/running"), status("one"))

# ---- four processes, of which some are killed
process = start_elbo("sweep", "collapse", *SHORT, "--out", "four", "--workers", 4, "--lease", 1, "--worker-restarts", 100)
kills = kill_children(process, 10, 0.3) if wait_for(lambda: os.path.exists("four/units.json")) else 0
out, err = process.communicate()
check(f"four workers, killed {kills} times, end", process.returncode == 0, err)
check("with the numbers of one process", *same(numbers("four"), expected))
check("and its words", out.replace("four/", "RUN/") == text, out)
check("and nothing is left of the work", not os.path.exists("four/running"))
run = elbo("status", "four")
check("status says so", run.returncode == 0 and "6 of 6 units done" in run.stdout and "all is done" in run.stdout, run.stdout)

# ---- a worker that is frozen for longer than its lease, and wakes
elbo("collapse", *LONG, "--out", "long")
expected_long = numbers("long")
run = elbo("collapse", *LONG, "--out", "frozen", "--begin")
check("a run is begun, and nothing is run", run.returncode == 0 and status("frozen")["done"] == 0 and len(state_of("frozen", "left")) == 6, run.stderr)
frozen = start_elbo("collapse", "--resume", "frozen", "--work-only", "--lease", 0.5)
begun = wait_for(lambda: os.path.isdir("frozen/running") and state_of("frozen", "running"))
frozen.send_signal(signal.SIGSTOP)
at = state_of("frozen", "running")
check("a worker is at a unit", begun and len(at) == 1 and at[0]["worker"] == f"process {frozen.pid}" and at[0]["attempt"] == 1, at)
run = elbo("status", "frozen")
check("status says where it is", at and f"{at[0]['host']}, process {frozen.pid}" in run.stdout and "1 running" in run.stdout, run.stdout)
run = elbo("collapse", "--resume", "frozen", "--lease", 0.5)
check("another does its unit, too", run.returncode == 0 and "waiting for other processes" in run.stderr, run.stderr)
check("with the numbers of one process", *same(numbers("frozen"), expected_long))
frozen.send_signal(signal.SIGCONT)
out, err = frozen.communicate(timeout=60)
check("the first wakes, and leaves everything alone", frozen.returncode == 0 and same(numbers("frozen"), expected_long)[0], err)
check("and leaves nothing behind", sorted(os.listdir("frozen")) == sorted([*os.listdir("long")]), os.listdir("frozen"))

# ---- one that is frozen at any moment, and wakes when others have done its unit or everything
for number in range(6):
    out = f"wakes-{number}"
    elbo("collapse", *SHORT, "--out", out, "--begin")
    frozen = start_elbo("collapse", "--resume", out, "--work-only", "--lease", 0.5)
    wait_for(lambda: os.path.isdir(f"{out}/running"), 5)
    time.sleep(random.uniform(0, 0.1))
    frozen.send_signal(signal.SIGSTOP)
    if number % 2 == 0:  # the run is over when it wakes
        run = elbo("collapse", "--resume", out, "--lease", 0.5)
        frozen.send_signal(signal.SIGCONT)
    else:  # its unit is done, others are not
        other = start_elbo("collapse", "--resume", out, "--lease", 0.5)
        at = [unit["key"] for unit in status(out)["units"] if unit.get("worker") == f"process {frozen.pid}"]
        wait_for(lambda: not at or os.path.exists(f"{out}/{at[0]}/unit.json"), 30)
        frozen.send_signal(signal.SIGCONT)
        other.communicate()
    err = frozen.communicate(timeout=60)[1]
    left = sorted(set(os.listdir(out)) - set(os.listdir("one")))
    check(f"frozen for the {number + 1}. time: it wakes and leaves everything as it is", frozen.returncode == 0 and same(numbers(out), expected)[0] and
          not left and status(out)["done"] == 6 and status(out)["running"] == 0, (frozen.returncode, err, left, status(out)))

# ---- two at once, of which one is stopped and comes back
some = ",".join(units("one")[:2])
elbo("collapse", *SHORT, "--out", "two", "--begin")
both = [start_elbo("sweep", "--resume", "two", "--workers", 2, "--lease", 1) for _ in range(2)]
ends = [(process.communicate(), process.returncode) for process in both]
check("two sweeps at once end", all(code == 0 for _, code in ends), ends)
check("with the numbers of one process", *same(numbers("two"), expected))
both = [start_elbo("sweep", "collapse", *SHORT, "--out", "begun", "--workers", 1) for _ in range(2)]
ends = [(process.communicate()[1], process.returncode) for process in both]
codes = sorted(code for _, code in ends)
check("of two that begin in one place one is refused", codes == [0, 2] and all(
    len(err.strip().split("\n")) == 1 and "[run directory]" in err for err, code in ends if code == 2), ends)
check("and the other is whole", *same(numbers("begun"), expected))
process = start_elbo("sweep", "collapse", *LONG, "--out", "stopped", "--workers", 2)
wait_for(lambda: os.path.isdir("stopped/running") and len(state_of("stopped", "running")) == 2)
process.send_signal(signal.SIGTERM)
out, err = process.communicate()
check("a sweep that is stopped says how to go on", process.returncode == 143 and "elbo sweep --resume stopped" in err, (process.returncode, err))
check("and its units are free", not state_of("stopped", "running"), status("stopped"))
run = elbo("sweep", "--resume", "stopped", "--workers", 2)
check("it goes on", run.returncode == 0 and same(numbers("stopped"), expected_long)[0], run.stderr)

for words in (["sweep", "collapse", "--workers", 3], ["collapse"]):
    out = "-".join(["few", words[0]])
    process = start_elbo(*words, *LONG, "--out", out, "--only", some)
    wait_for(lambda: os.path.isdir(out + "/running") and state_of(out, "running"))
    process.send_signal(signal.SIGTERM)
    err = process.communicate()[1]
    check(f"{words[0]} of two units that is stopped counts these, and goes on with these", process.returncode == 143 and
          " of 2 units done" in err and f"--resume {out} --only {some}" in err, (process.returncode, err))

# ---- a full disk
def full():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))


run = elbo("sweep", "collapse", *SHORT, "--out", "full", "--workers", 2, preexec_fn=full)
lines = run.stderr.strip().split("\n")
check("a full disk ends a sweep with one line", run.returncode == 2 and len(lines) == 1 and "cannot write" in lines[0] and
      "free some space" in lines[0] and "elbo sweep --resume full" in lines[0], (run.returncode, run.stderr))
run = elbo("sweep", "--resume", "full", "--workers", 2)
check("and nothing is lost", run.returncode == 0 and same(numbers("full"), expected)[0], run.stderr)

# ---- parts, and JSON
run = elbo("sweep", "collapse", *SHORT, "--out", "some", "--workers", 2, "--only", some, "--json")
check("some units only", run.returncode == 0 and json.loads(run.stdout)["metrics"]["units"] == {"here": units("one")[:2], "of": 6}, run.stderr)
run = elbo("collapse", "--resume", "some")
check("one process ends what a sweep began", run.returncode == 0 and same(numbers("some"), expected)[0], run.stderr)
run = elbo("sweep", "collapse", *SHORT, "--dry-run")
check("--dry-run says what it would cost", run.returncode == 0 and "on this machine" in run.stdout, run.stderr)
run = elbo("sweep", "ppca-elbo", "--data", "ppca", "--limit", 200, "--subset", 0, "--latent", "1,2", "--frozen-at", 2, "--steps", 300, "--workers", 2,
           "--out", "another")
check("another experiment", run.returncode == 0 and status("another")["done"] == 2, run.stderr)

run = elbo("sweep", "collapse", *SHORT, "--out", "only", "--workers", 2, "--only", units("one")[1])
check("a sweep of one unit says that it is one of six", run.returncode == 0 and "these are 1 of 6 units" in run.stderr and
      "elbo collapse --resume only" in run.stderr, run.stderr)
rejects("another unit in the same place, as if it were a new run", "sweep", "collapse", *SHORT, "--out", "only", "--only", units("one")[4],
        mentions=["only", "--resume"])
run = elbo("sweep", "--resume", "only", "--workers", 2, "--only", units("one")[4], "--json")
here = json.loads(run.stdout)["metrics"]["units"]
check("a resumed one adds its own unit", run.returncode == 0 and here == {"here": [units("one")[1], units("one")[4]], "of": 6} and
      "these are 2 of 6 units" in run.stderr, (here, run.stderr))
check("and runs no other", status("only")["done"] == 2 and not os.path.exists("only/running"), status("only"))
run = elbo("sweep", "--resume", "only", "--workers", 2)
check("and without --only all are run", run.returncode == 0 and same(numbers("only"), expected)[0] and "these are" not in run.stderr, run.stderr)

# ---- options from a file, with a section for the sweep and one for the experiment
names = [str(word).lstrip("-") for word in SHORT[::2]]
values = [value if isinstance(value, (int, float)) else [float(part) for part in value.split(",")] if key in ("sigma2", "lr") else str(value)
          for key, value in zip(names, SHORT[1::2])]
open("both.toml", "w").write("[sweep]\nworkers = 2\nout = \"file\"\n\n[collapse]\n" + "".join(
    f"{key} = {json.dumps(value)}\n" for key, value in zip(names, values)))
run = elbo("--config", "both.toml", "sweep", "collapse")
check("a file has options of the sweep and of the experiment", run.returncode == 0 and same(numbers("file"), expected)[0], run.stderr)
rejects("a section for the sweep where only the experiment reads", "sweep", "collapse", "--config", "both.toml", mentions=["[sweep]", "stands first"])
open("out.toml", "w").write('[sweep]\nworkers = 2\n[collapse]\nout = "never"\n')
for word in ("begin", "work-only"):
    open("own.toml", "w").write(f"[collapse]\n{word} = true\n")
    rejects(f"{word} in a file", "sweep", "collapse", *SHORT, "--config", "own.toml", "--out", "never", mentions=[f"--{word}", "sweep itself"])
rejects("what is the sweep's, below the experiment", "--config", "out.toml", "sweep", "collapse", mentions=["out of a sweep", "[sweep]", "[collapse]"])

# ---- ranks
if "without MPI" in elbo("sweep", "collapse", "--launcher", "mpi", "--only", "nothing").stderr:
    rejects("ranks in a build without MPI", "sweep", "collapse", "--launcher", "mpi", mentions=["[mpi]", "without MPI", "--launcher local"])
elif not MPIRUN:
    print("skipped: ranks, as there is no mpirun of the MPI that the program was linked with")
else:
    mpirun = lambda *words, n=3: subprocess.run([*map(str, [*MPIRUN, "-n", n, BINARY, "sweep", *words, "--launcher", "mpi"])], env=MPI_ENVIRONMENT,
                                                capture_output=True, text=True, timeout=300)
    run = mpirun("collapse", *SHORT, "--out", "ranks", "--lease", 1)
    check("three ranks run it", run.returncode == 0, run.stderr)
    check("with the numbers of one process", *same(numbers("ranks"), expected))
    check("and its words, once", run.stdout.replace("ranks/", "RUN/") == text, run.stdout)
    provenance = json.load(open("ranks/result.json"))["provenance"]
    one = {name: provenance[name] for name in ("commit", "cpu", "device")}
    check("each rank says who it is", provenance["unit_origins"] == [{**one, "units": len(units("ranks"))}], provenance["unit_origins"])
    run = mpirun("collapse", *SHORT, "--nonsense", "--out", "never")
    check("a wrong option is one line of all ranks", run.returncode == 2 and run.stderr.count("elbo: ") == 1 and "--nonsense" in run.stderr, run.stderr)
    process = start(*MPIRUN, "-n", 3, BINARY, "sweep", "collapse", *LONG, "--out", "broken", "--launcher", "mpi", env=MPI_ENVIRONMENT)
    wait_for(lambda: os.path.isdir("broken/running") and len(state_of("broken", "running")) == 3)
    at = [unit["worker"] for unit in state_of("broken", "running")]
    check("each rank is at a unit", sum("rank" in worker for worker in at) == 2 and len(at) == 3, at)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    run = mpirun("--resume", "broken", "--lease", 0.5, n=2)  # shorter than a unit, whose files are sent meanwhile
    check("ranks go on with what others left", run.returncode == 0 and same(numbers("broken"), expected_long)[0], run.stderr)
    # One rank is asked to stop while the others go on, and the root alone.
    for who in (2, 0):
        out = f"rank-{who}"
        process = start(*MPIRUN, "-n", 3, BINARY, "sweep", "collapse", *LONG, "--out", out, "--launcher", "mpi", "--lease", 1, env=MPI_ENVIRONMENT)
        at = []  # when all are at a unit
        wait_for(lambda: os.path.isdir(f"{out}/running") and at.append({unit["key"] for unit in state_of(out, "running")}) or at and len(at[-1]) == 3)
        os.kill(rank_of(process, who), signal.SIGTERM)
        err = process.communicate(timeout=120)[1]
        if who > 0:
            check("a rank that is stopped gives its unit back, and the others go on", same(numbers(out), expected_long)[0], err)
        else:
            check("where the root is stopped all give their units back", process.returncode != 0 and "stopped with" in err and not state_of(out, "running")
                  and at[-1] <= {unit["key"] for state in ("begun", "done") for unit in state_of(out, state)}, (at[-1], process.returncode, err, status(out)))
            run = elbo("sweep", "--resume", out, "--workers", 2)
            check("and others go on with them", run.returncode == 0 and same(numbers(out), expected_long)[0], run.stderr)
    run = mpirun("collapse", *SHORT, "--out", "alone", n=1)
    check("one rank is one process", run.returncode == 0 and same(numbers("alone"), expected)[0], run.stderr)

# ---- Slurm, of which only the commands are there
os.mkdir("bin")
FAKES = {"sbatch": 'echo "$@" >> sbatch.log; echo $((16 + $(wc -l < sbatch.log)))', "scontrol": 'echo "$@" >> scontrol.log'}
for name, body in FAKES.items():
    open(f"bin/{name}", "w").write("#!/bin/sh\n" + body + "\n")
    os.chmod(f"bin/{name}", stat.S_IRWXU)
here = {**os.environ, "PATH": os.path.abspath("bin") + ":" + os.environ["PATH"], "SLURM_JOB_ID": "17", "SLURM_CPUS_ON_NODE": "1"}
slurm = ["--launcher", "slurm", "--workers", 3, "--lease", 1, "--sbatch", "--time=1:00:00 --partition=long"]
run = elbo("sweep", "collapse", *LONG, "--out", "shown", *slurm, "--print", env=here)
check("--print shows the job and does nothing", run.returncode == 0 and "--array=1-3" in run.stdout and "#SBATCH --requeue" in run.stdout and
      "--partition=long" in run.stdout and not os.path.exists("shown") and not os.path.exists("sbatch.log"), run.stdout + run.stderr)
run = elbo("sweep", "collapse", *LONG, "--out", "job", *slurm, env=here)
log = open("sbatch.log").read().split("\n") if os.path.exists("sbatch.log") else []
check("an array job is submitted, and the report after it", run.returncode == 0 and "--array=1-3" in log[0] and log[0].endswith("slurm.sh work") and
      "--dependency=afterany:17" in log[1] and log[1].endswith("slurm.sh report") and all("--time=1:00:00 --partition=long" in l for l in log[:2]),
      (run.stdout, run.stderr, log))
task = start("bash", "job/slurm.sh", "work", env=here)
wait_for(lambda: os.path.isdir("job/running") and state_of("job", "running"))
task.send_signal(signal.SIGUSR1)
task.communicate()
check("before its time is over a task lets go of its unit, and is queued again", task.returncode == 138 and
      open("scontrol.log").read() == "requeue 17\n" and len(state_of("job", "begun")) == 1 and not state_of("job", "running"), status("job"))
tasks = [start("bash", "job/slurm.sh", "work", env=here) for _ in range(2)]
check("tasks end when no unit is left", [task.communicate() and task.returncode for task in tasks] == [0, 0] and status("job")["done"] == 6)
check("and leave the report", not os.path.exists("job/result.json"))
run = subprocess.run(["bash", "job/slurm.sh", "report"], env=here, capture_output=True, text=True)
check("which the last job makes", run.returncode == 0 and same(numbers("job"), expected_long)[0], run.stderr)
nothing = {**here, "PATH": "/nowhere"}
refusing = 'echo "sbatch: error: invalid partition specified: long" >&2; exit 1'
for what, environment, body, mentions in [
        ("no sbatch", nothing, None, ["there is no sbatch"]),
        ("an sbatch that refuses", here, refusing, ["invalid partition specified: long"]),
        ("an sbatch that says nothing", here, "exit 3", ["says nothing"]),
        ("an sbatch that refuses the second job", here, f'case "$*" in *report) {refusing};; *) echo "sbatch: warning: long queue" >&2; echo 4711;; esac',
         ["invalid partition specified: long"])]:
    for name, text in {"sbatch": body or "exit 1", "scancel": 'echo "$@" >> scancel.log'}.items():
        open(f"bin/{name}", "w").write("#!/bin/sh\n" + text + "\n")
        os.chmod(f"bin/{name}", stat.S_IRWXU)
    before = sorted(os.listdir("one"))
    for words in (["collapse", *SHORT, "--out", "deep/half-made"], ["--resume", "one"]):
        run = elbo("sweep", *words, "--launcher", "slurm", env=environment)
        lines = run.stderr.strip().split("\n")
        check(f"{what}: one line", run.returncode == 2 and len(lines) == 1 and lines[0].startswith("elbo: [slurm]") and
              all(word in lines[0] for word in mentions), (run.returncode, run.stderr))
    check(f"{what}: nothing is left half-made", not os.path.exists("deep") and sorted(os.listdir("one")) == before, os.listdir("one"))
slurm_sh = open("job/slurm.sh").read()
run = elbo("sweep", "--resume", "job", "--launcher", "slurm", "--lease", 7, env=here)
check("and a script that was there is put back", run.returncode == 2 and open("job/slurm.sh").read() == slurm_sh, run.stderr)
check("the job that was taken is cancelled", open("scancel.log").read() == "4711\n" * 3)

# ---- what is refused
rejects("no experiment", "sweep", "--workers", 2, mentions=["name an experiment"])
rejects("an unknown one", "sweep", "colapse", mentions=["no command", "colapse"])
rejects("one without units", "sweep", "info", mentions=["not made of units"])
rejects("an option that the experiment does not have", "sweep", "collapse", *SHORT, "--nonsense", "--out", "never", mentions=["--nonsense"])
rejects("a unit that is not there", "sweep", "collapse", *SHORT, "--only", "x", "--out", "never", mentions=["--only", "no unit 'x'"])
rejects("one that is not there, to see what it costs", "sweep", "collapse", *SHORT, "--only", "x", "--dry-run", mentions=["no unit 'x'"])
rejects("what is sweep's own", "sweep", "collapse", "--begin", mentions=["--begin"])
rejects("a job of Slurm's that is none", "sweep", "collapse", "--print", mentions=["--print", "slurm"])
rejects("ranks by number", "sweep", "collapse", "--launcher", "mpi", "--workers", 3, mentions=["mpirun"])
rejects("another experiment's run", "sweep", "encoders", "--resume", "one", mentions=["collapse", "encoders"])
rejects("a run's other options", "sweep", "--resume", "one", "--epochs", 7, mentions=["--epochs", "40"])
rejects("a run that is none", "status", "bin", mentions=["config.json"])
check("and nothing is written", not os.path.exists("never"))
elbo("train", *TINY[:6], "--model", "mlp", "--epochs", 1, "--latent", 2, "--hidden", "8", "--out", "trained")
rejects("the units of a training", "status", "trained", mentions=["has no units"])

finish()
