#!/usr/bin/env python3
"""A long form of tests/sweep_cli_test.py: workers and whole sweeps killed at random times, frozen beyond their lease, short of disk; then
the result must be that of one process, to the byte. Not part of the suite.

    tests/kill_campaign.py build/release/elbo [--kills 200] [--quick] [--seed S]

With --quick it sweeps `elbo collapse --quick` once, its ensemble in four parts, with kills every 20 to 60 s, and so with three ranks of mpirun,
beside one process that trains the ensemble whole: an hour of two cores, on MNIST, which ELBO_DATA names or ../shared/data has. Else, as root,
it also fills a small tmpfs. The last line counts everything that was done.
"""

import argparse
import collections
import os
import random
import shutil
import signal
import subprocess
import sys
import time

parser = argparse.ArgumentParser()
parser.add_argument("program")
parser.add_argument("--kills", type=int, default=200)
parser.add_argument("--quick", action="store_true")
parser.add_argument("--seed", type=int, default=os.getpid())
asked = parser.parse_args()

DATA = os.path.abspath(os.environ.get("ELBO_DATA", "../shared/data"))

from program import BINARY, check, elbo, finish, work_in_a_folder_of_its_own
from sweeps import MPI_ENVIRONMENT, MPIRUN, TINY, children, numbers, same, start, start_elbo, wait_for

work_in_a_folder_of_its_own("campaign")
random.seed(asked.seed)
print(f"seed {asked.seed}, in {os.getcwd()}", flush=True)
if asked.quick:
    os.environ["ELBO_DATA"] = DATA
    EXPERIMENT, PARTS = ["collapse", "--quick", "--threads", 1, "--checkpoint-seconds", 10], ["--split", 5]
else:
    EXPERIMENT, PARTS = ["collapse", *TINY, "--epochs", 150], []
BETWEEN = (20, 60) if asked.quick else (0, 0.3)
counts = collections.Counter()


def one_process(out):
    begin = time.time()
    run = subprocess.run([BINARY, *map(str, [*EXPERIMENT, "--out", out])], capture_output=True, text=True)
    check("one process", run.returncode == 0, run.stderr)
    print(f"one process: {time.time() - begin:.0f} s", flush=True)
    return numbers(out)


def harm(sweeps, lease):
    """One thing that happens to a process: most often a worker is killed."""
    workers = [pid for sweep in sweeps for pid in children(sweep.pid)]
    what = random.random()
    try:
        if what < 0.8 and workers:
            os.kill(random.choice(workers), signal.SIGKILL)
            counts["workers killed"] += 1
        elif what < 0.9 and workers:
            frozen = random.choice(workers)
            os.kill(frozen, signal.SIGSTOP)
            time.sleep(random.uniform(1.2, 2) * lease)
            os.kill(frozen, signal.SIGCONT)
            counts["workers frozen"] += 1
        elif what >= 0.9:
            sweep = random.choice(sweeps)
            sweep.send_signal(signal.SIGKILL)
            sweep.wait()
            counts["sweeps killed"] += 1
    except ProcessLookupError:
        pass


def campaign(out, expected, most, sweeps_at_once, lease=1):
    """Sweeps one run, which is harmed up to so often."""
    check("a run is begun", elbo(*EXPERIMENT, *PARTS, "--out", out, "--begin").returncode == 0)
    again = lambda: start_elbo("sweep", "--resume", out, "--workers", 4 // sweeps_at_once, "--lease", lease, "--worker-restarts", 100000)
    sweeps = [again() for _ in range(sweeps_at_once)]
    harms = 0
    while any(sweep.poll() is None for sweep in sweeps):
        time.sleep(random.uniform(*BETWEEN))
        if harms < most:
            harm([sweep for sweep in sweeps if sweep.poll() is None] or sweeps, lease)
            harms += 1
        sweeps = [again() if sweep.poll() == -signal.SIGKILL else sweep for sweep in sweeps]
    ends = [(sweep.communicate()[1], sweep.returncode) for sweep in sweeps]
    check(f"{out}: {sweeps_at_once} sweeps at once end", all(code == 0 for _, code in ends), ends)
    check(f"{out}: the numbers of one process", *same(numbers(out), expected))
    check(f"{out}: nothing is left of the work", not os.path.exists(f"{out}/running"))
    counts["runs"] += 1


expected = one_process("one")
number = 0
while counts["workers killed"] < asked.kills:
    number += 1
    campaign(f"run-{number}", expected, 40, 1 + number % 2)
    shutil.rmtree(f"run-{number}")
    print(f"so far: {dict(counts)}", flush=True)
    if asked.quick:
        break

if MPIRUN and "without MPI" not in elbo("sweep", "collapse", "--launcher", "mpi", "--only", "nothing").stderr:
    begin = time.time()
    run = subprocess.run([*map(str, [*MPIRUN, "-n", 3, BINARY, "sweep", *EXPERIMENT, *PARTS, "--out", "ranks", "--launcher", "mpi"])],
                         env=MPI_ENVIRONMENT | os.environ, capture_output=True, text=True)
    check("three ranks", run.returncode == 0 and same(numbers("ranks"), expected)[0], run.stderr)
    print(f"three ranks: {time.time() - begin:.0f} s", flush=True)

if os.geteuid() == 0 and not asked.quick:
    os.mkdir("disk")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", "disk"]).returncode == 0:
        try:
            run = elbo("sweep", *EXPERIMENT, "--workers", 4, "--out", "disk/run")
            lines = run.stderr.strip().split("\n")
            check("a full disk ends a sweep with one line", run.returncode == 2 and len(lines) == 1 and "No space left" in lines[0], run.stderr)
            subprocess.run(["mount", "-o", "remount,size=256m", "disk"], check=True)
            run = elbo("sweep", "--resume", "disk/run", "--workers", 4)
            check("with room it goes on, to the numbers of one process", run.returncode == 0 and same(numbers("disk/run"), expected)[0], run.stderr)
            counts["full disks"] += 1
        finally:
            subprocess.run(["umount", "disk"])

print(", ".join(f"{count} {what}" for what, count in counts.items()))
finish()
