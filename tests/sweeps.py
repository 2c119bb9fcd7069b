"""What the tests of `elbo sweep` share: a tiny experiment of several units, what came of a run of it, and harm done to processes."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import time

from program import BINARY

# Six units of two members each.
TINY = ["--data", "ppca", "--limit", 200, "--subset", 0, "--threads", 1, "--latent", 2, "--hidden", "32,16", "--sigma2", "1,0.1", "--lr",
        "0.001,0.002,0.003", "--members", 2, "--batch", 50, "--checkpoint-seconds", 0.2]


def find_mpirun():
    """The words before `-n` of the mpirun that belongs to the MPI which the program was linked with, or nothing. Only OpenMPI must be told that
    there may be more ranks than cores, and not to keep each on one."""
    libraries = subprocess.run(["ldd", BINARY], capture_output=True, text=True).stdout
    family, version = ("mpich", "HYDRA") if "libmpich" in libraries else ("openmpi", "Open MPI")
    if "libmpi" not in libraries:
        return []
    for name in (f"mpirun.{family}", "mpirun"):  # Debian's, where both are installed, and anybody's
        if shutil.which(name) and version in subprocess.run([name, "--version"], capture_output=True, text=True).stdout:
            return [name, "--oversubscribe", "--bind-to", "none"] if family == "openmpi" else [name]
    return []


MPIRUN = find_mpirun()
MPI_ENVIRONMENT = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


def start(*words, **options):
    return subprocess.Popen([*map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def start_elbo(*words, **options):
    return start(BINARY, *words, **options)


def children(pid):
    """Those that live."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            state, parent = open(f"/proc/{entry}/stat").read().rsplit(")", 1)[1].split()[:2]
        except OSError:
            continue
        if int(parent) == pid and state not in "ZX":
            found.append(int(entry))
    return found


def kill_children(process, kills, longest):
    """Kills a child of the process, of those that it has then, up to so often while it lives. Returns how often."""
    done = 0
    while process.poll() is None and done < kills:
        time.sleep(random.uniform(0, longest))
        victims = children(process.pid)
        if victims:
            try:
                os.kill(random.choice(victims), signal.SIGKILL)
                done += 1
            except ProcessLookupError:
                pass
    return done


def numbers(directory):
    """What a run found, to the byte: its metrics, each unit's result, its models and lists of them, what its figures are drawn of."""
    found = {"metrics": json.dumps(json.load(open(f"{directory}/result.json"))["metrics"])}

    def take(folder, wanted):
        for at, _, names in os.walk(f"{directory}/{folder}"):
            for path in (os.path.join(at, name) for name in names):
                if wanted(path):
                    found[os.path.relpath(path, directory)] = hashlib.sha256(open(path, "rb").read()).hexdigest()

    for key in units(directory):
        kept = json.load(open(f"{directory}/{key}/unit.json"))
        found[key] = json.dumps(kept["result"])
        take(key, lambda path: path.endswith((".safetensors", "members.json")) and "checkpoint" not in path or "/evaluations/" in path)
    take("figures", lambda path: path.endswith(".csv"))
    return found


def units(directory):
    return [unit["key"] for unit in json.load(open(f"{directory}/units.json"))]


def same(ours, theirs):
    """(whether they are, which are not)"""
    return ours == theirs, sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))


def wait_for(what, seconds=60):
    """Whether it came about."""
    end = time.time() + seconds
    while time.time() < end:
        if what():
            return True
        time.sleep(0.01)
    return False
