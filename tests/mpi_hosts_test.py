#!/usr/bin/env python3
"""elbo sweep --launcher mpi, and mpirun elbo train, over three hosts that are network namespaces of this machine (hosts.py). Not part of the suite,
which has all ranks on one host.

    tests/mpi_hosts_test.py build/release/elbo
"""

import json
import os
import re
import subprocess

from hosts import Hosts, ip
from program import BINARY, check, elbo, finish, skip, work_in_a_folder_of_its_own
from sweeps import MPI_ENVIRONMENT, MPIRUN, TINY, numbers, same, start, wait_for

if "--oversubscribe" not in MPIRUN:
    skip("there is no mpirun of OpenMPI, or the program was linked without it")
work_in_a_folder_of_its_own("hosts")
hosts = Hosts(3)


def mpirun(*words):
    """Its process."""
    return start(*hosts.command_line(MPIRUN, *words), env=MPI_ENVIRONMENT)


process = mpirun("hostname")
out, err = process.communicate(timeout=120)
if process.returncode != 0:
    skip(f"mpirun does not reach its hosts here: {err.strip()}")
check("a rank is on each host", sorted(out.split()) == hosts.names, out + err)

tiny = [*TINY, "--device", "cpu", "--epochs", 400]
run = elbo("collapse", *tiny, "--out", "one")
check("one process runs it", run.returncode == 0, run.stderr)
before = [hosts.bytes_sent(host) for host in hosts.names]
process = mpirun(BINARY, "sweep", "collapse", *tiny, "--out", "hosts", "--launcher", "mpi", "--lease", 1)
seen = set()


def look():
    if os.path.isdir("hosts/running"):
        for unit in json.loads(elbo("status", "hosts", "--json").stdout)["units"]:
            seen.update(re.findall(r"rank \d on (\S+)", unit.get("worker", "")))
    return process.poll() is not None or seen == set(hosts.names[1:])


wait_for(look, 120)
out, err = process.communicate(timeout=300)
check("ranks of three hosts run it", process.returncode == 0, err)
check("with the numbers of one process", *same(numbers("hosts"), numbers("one")))
check("and its words", out.replace("hosts/", "RUN/") == run.stdout.replace("one/", "RUN/"), out)
check("units were at the other hosts", seen == set(hosts.names[1:]), seen)
models = sum(os.path.getsize(os.path.join(folder, name)) for folder, _, names in os.walk("hosts") for name in names if name.endswith(".safetensors"))
sent = [hosts.bytes_sent(host) - start_at for host, start_at in zip(hosts.names, before)]
check("what they made came over the network", sum(sent[1:]) > models / 4, (sent, models))

# ---- one model, whose ranks have nothing but the network
words = ["--model", "mlp", "--data", "digits", "--limit", 600, "--batch", 60, "--hidden", "600,300", "--latent", 5, "--epochs", 3, "--threads", 1,
         "--device", "cpu"]
run = elbo("train", *words, "--out", "alone")
check("one process trains a model of more than a piece", run.returncode == 0, run.stderr)
before = [hosts.bytes_sent(host) for host in hosts.names]
runs = []
for name in ("shared", "again"):
    process = mpirun(BINARY, "train", *words, "--out", name)
    out, err = process.communicate(timeout=300)
    check("ranks of three hosts train it", process.returncode == 0, err)
    runs.append(json.load(open(f"{name}/result.json"))["metrics"]["elbo"])
alone = json.load(open("alone/result.json"))["metrics"]["elbo"]
check("to rounding as one does", abs(runs[0] - alone) < 1e-4 * abs(alone), (runs, alone))
models = [open(f"{name}/model.safetensors", "rb").read() for name in ("shared", "again")]
check("with the same bits again, whatever went out early", models[0] == models[1])
# In each of 2 x 30 steps two thirds of the gradients, and their means to two others.
sent, moved = [hosts.bytes_sent(host) - start_at for host, start_at in zip(hosts.names, before)], 60 * 4 / 3 * len(models[0])
check("each sends what its share of the all-reduces takes", all(moved < bytes < 1.3 * moved for bytes in sent), (sent, moved))

# ---- a host that is cut off
longer = [*tiny[:-1], 1500]
run = elbo("collapse", *longer, "--out", "longer")
process = mpirun(BINARY, "sweep", "collapse", *longer, "--out", "cut", "--launcher", "mpi", "--lease", 1)
begun = wait_for(lambda: os.path.isdir("cut/running") and "3 running" in elbo("status", "cut").stdout, 60)
ip("-n", hosts.names[2], "link", "set", "eth0", "down")
left = wait_for(lambda: process.poll() is not None or '"attempt": 2' in elbo("status", "cut", "--json").stdout, 60)
print("a host that is cut off:", "mpirun has ended" if process.poll() is not None else "its unit has gone to another" if left else "nothing comes of it")
check("the unit of a host that is cut off goes to another, unless mpirun ends", begun and left, elbo("status", "cut").stdout)
process.terminate()
try:
    process.communicate(timeout=30)
except subprocess.TimeoutExpired:
    pass
hosts.remove()
process.communicate()
run = elbo("sweep", "--resume", "cut", "--workers", 2)
check("and what is left is ended by others, with the numbers of one process", run.returncode == 0 and same(numbers("cut"), numbers("longer"))[0], run.stderr)
check("no host is left", not any(hosts.name in line for line in ip("netns", "list").split("\n")))
finish()
