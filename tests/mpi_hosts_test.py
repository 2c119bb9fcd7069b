#!/usr/bin/env python3
"""elbo sweep --launcher mpi over hosts that are network namespaces of this machine: three, with an address and a host name each, joined by a
bridge, between which ranks have nothing but TCP. As root, with OpenMPI and the packages of scripts/setup cluster; 77 where one is missing. Not
part of the suite, which has all ranks on one host.

    tests/mpi_hosts_test.py build/release/elbo
"""

import atexit
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys

from program import BINARY, check, elbo, finish, work_in_a_folder_of_its_own
from sweeps import MPI_ENVIRONMENT, MPIRUN, TINY, numbers, same, start, wait_for


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


if os.geteuid() != 0:
    skip("only root can make network namespaces")
if not shutil.which("ip"):
    skip("there is no ip (iproute2)")
if "--oversubscribe" not in MPIRUN:
    skip("there is no mpirun of OpenMPI, or the program was linked without it")

NAME = f"elbo{os.getpid() % 100000}"  # names of interfaces have at most 15 characters
HUB, HOSTS = f"{NAME}-hub", [f"{NAME}-{letter}" for letter in "abc"]
ADDRESSES = [f"10.{os.getpid() % 200 + 20}.77.{number}" for number in (1, 2, 3)]


def ip(*words, may_fail=False):
    run = subprocess.run(["ip", *words], capture_output=True, text=True)
    if run.returncode != 0 and not may_fail:
        skip(f"ip {' '.join(words)}: {run.stderr.strip()}")
    return run.stdout


def remove_hosts():
    """With all that runs in them; what joins them goes with them."""
    for host in [*HOSTS, HUB]:
        for pid in ip("netns", "pids", host, may_fail=True).split():
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                pass
        ip("netns", "del", host, may_fail=True)


def make_hosts():
    atexit.register(remove_hosts)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda number, frame: sys.exit(128 + number))  # which atexit sees
    for host in [HUB, *HOSTS]:
        ip("netns", "add", host)
        ip("-n", host, "link", "set", "lo", "up")
    ip("-n", HUB, "link", "add", "bridge", "type", "bridge")
    ip("-n", HUB, "link", "set", "bridge", "up")
    for number, (host, address) in enumerate(zip(HOSTS, ADDRESSES)):
        ip("-n", host, "link", "add", "eth0", "type", "veth", "peer", "name", f"port{number}", "netns", HUB)
        ip("-n", HUB, "link", "set", f"port{number}", "master", "bridge", "up")
        ip("-n", host, "address", "add", f"{address}/24", "dev", "eth0")
        ip("-n", host, "link", "set", "eth0", "up")


def bytes_sent(host):
    return json.loads(ip("-n", host, "-json", "-stats", "link", "show", "eth0"))[0]["stats64"]["tx"]["bytes"]


work_in_a_folder_of_its_own("hosts")
make_hosts()
# What mpirun takes for ssh: the host, and a command line for it.
with open("reach", "w") as file:
    cases = "".join(f"{address}) host={host};;\n" for host, address in zip(HOSTS, ADDRESSES))
    file.write(f"""#!/bin/sh
case "$1" in
{cases}*) echo "there is no host $1" >&2; exit 1;;
esac
shift
exec ip netns exec $host unshare --uts sh -c "hostname $host; $*"
""")
os.chmod("reach", stat.S_IRWXU)


def mpirun(*words):
    """Its process; rank 0 is on the first host."""
    line = [*MPIRUN, "--mca", "plm_rsh_agent", os.path.abspath("reach"), "--mca", "btl", "tcp,self", "--mca", "btl_tcp_if_include", "eth0", "--mca",
            "oob_tcp_if_include", "eth0", "--host", ",".join(f"{address}:1" for address in ADDRESSES), "-n", "3", *map(str, words)]
    inside = 'hostname "$1"; shift; exec "$@"'
    return start("ip", "netns", "exec", HOSTS[0], "unshare", "--uts", "sh", "-c", inside, "sh", HOSTS[0], *line, env=MPI_ENVIRONMENT)


process = mpirun("hostname")
out, err = process.communicate(timeout=120)
if process.returncode != 0:
    skip(f"mpirun does not reach its hosts here: {err.strip()}")
check("a rank is on each host", sorted(out.split()) == HOSTS, out + err)

words = [*TINY, "--device", "cpu", "--epochs", 400]
run = elbo("collapse", *words, "--out", "one")
check("one process runs it", run.returncode == 0, run.stderr)
before = [bytes_sent(host) for host in HOSTS]
process = mpirun(BINARY, "sweep", "collapse", *words, "--out", "hosts", "--launcher", "mpi", "--lease", 1)
seen = set()


def look():
    if os.path.isdir("hosts/running"):
        for unit in json.loads(elbo("status", "hosts", "--json").stdout)["units"]:
            seen.update(re.findall(r"rank \d on (\S+)", unit.get("worker", "")))
    return process.poll() is not None or seen == set(HOSTS[1:])


wait_for(look, 120)
out, err = process.communicate(timeout=300)
check("ranks of three hosts run it", process.returncode == 0, err)
check("with the numbers of one process", *same(numbers("hosts"), numbers("one")))
check("and its words", out.replace("hosts/", "RUN/") == run.stdout.replace("one/", "RUN/"), out)
check("units were at the other hosts", seen == set(HOSTS[1:]), seen)
models = sum(os.path.getsize(os.path.join(folder, name)) for folder, _, names in os.walk("hosts") for name in names if name.endswith(".safetensors"))
sent = [bytes_sent(host) - start_at for host, start_at in zip(HOSTS, before)]
check("what they made came over the network", sum(sent[1:]) > models / 4, (sent, models))

# ---- a host that is cut off
longer = [*words[:-1], 1500]
run = elbo("collapse", *longer, "--out", "longer")
process = mpirun(BINARY, "sweep", "collapse", *longer, "--out", "cut", "--launcher", "mpi", "--lease", 1)
begun = wait_for(lambda: os.path.isdir("cut/running") and "3 running" in elbo("status", "cut").stdout, 60)
ip("-n", HOSTS[2], "link", "set", "eth0", "down")
left = wait_for(lambda: process.poll() is not None or '"attempt": 2' in elbo("status", "cut", "--json").stdout, 60)
print("a host that is cut off:", "mpirun has ended" if process.poll() is not None else "its unit has gone to another" if left else "nothing comes of it")
check("the unit of a host that is cut off goes to another, unless mpirun ends", begun and left, elbo("status", "cut").stdout)
process.terminate()
try:
    process.communicate(timeout=30)
except subprocess.TimeoutExpired:
    pass
remove_hosts()
process.communicate()
run = elbo("sweep", "--resume", "cut", "--workers", 2)
check("and what is left is ended by others, with the numbers of one process", run.returncode == 0 and same(numbers("cut"), numbers("longer"))[0], run.stderr)
check("no host is left", not any(NAME in line for line in ip("netns", "list").split("\n")))
finish()
