"""Hosts that are network namespaces of this machine, with an address and a host name each, joined by a bridge, between which processes have
nothing but TCP; and OpenMPI's mpirun over them. As root, with the packages of scripts/setup cluster; whoever asks for them ends with 77 where
one is missing.
"""

import atexit
import json
import os
import shutil
import signal
import stat
import subprocess
import sys

from program import skip


def ip(*words, may_fail=False):
    run = subprocess.run(["ip", *words], capture_output=True, text=True)
    if run.returncode != 0 and not may_fail:
        skip(f"ip {' '.join(words)}: {run.stderr.strip()}")
    return run.stdout


class Hosts:
    """So many of them, until the program ends or `remove` is called; writes a file `reach` in the current folder."""

    def __init__(self, count):
        if os.geteuid() != 0:
            skip("only root can make network namespaces")
        if not shutil.which("ip"):
            skip("there is no ip (iproute2)")
        self.name = f"elbo{os.getpid() % 100000}"  # names of interfaces have at most 15 characters
        self.hub, self.names = f"{self.name}-hub", [f"{self.name}-{letter}" for letter in "abcdefgh"[:count]]
        self.addresses = [f"10.{os.getpid() % 200 + 20}.77.{number + 1}" for number in range(count)]
        atexit.register(self.remove)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, lambda number, frame: sys.exit(128 + number))  # which atexit sees
        for host in [self.hub, *self.names]:
            ip("netns", "add", host)
            ip("-n", host, "link", "set", "lo", "up")
        ip("-n", self.hub, "link", "add", "bridge", "type", "bridge")
        ip("-n", self.hub, "link", "set", "bridge", "up")
        for number, (host, address) in enumerate(zip(self.names, self.addresses)):
            ip("-n", host, "link", "add", "eth0", "type", "veth", "peer", "name", f"port{number}", "netns", self.hub)
            ip("-n", self.hub, "link", "set", f"port{number}", "master", "bridge", "up")
            ip("-n", host, "address", "add", f"{address}/24", "dev", "eth0")
            ip("-n", host, "link", "set", "eth0", "up")
        # What mpirun takes for ssh: the host, and a command line for it.
        with open("reach", "w") as file:
            cases = "".join(f"{address}) host={host};;\n" for host, address in zip(self.names, self.addresses))
            file.write(f"""#!/bin/sh
case "$1" in
{cases}*) echo "there is no host $1" >&2; exit 1;;
esac
shift
exec ip netns exec $host unshare --uts sh -c "hostname $host; $*"
""")
        os.chmod("reach", stat.S_IRWXU)

    def remove(self):
        """With all that runs in them; what joins them goes with them."""
        for host in [*self.names, self.hub]:
            for pid in ip("netns", "pids", host, may_fail=True).split():
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    pass
            ip("netns", "del", host, may_fail=True)

    def command_line(self, mpirun, *words):
        """Of OpenMPI's mpirun, for a rank on each host: rank 0, and mpirun itself, are on the first one."""
        line = [*mpirun, "--mca", "plm_rsh_agent", os.path.abspath("reach"), "--mca", "btl", "tcp,self", "--mca", "btl_tcp_if_include", "eth0",
                "--mca", "oob_tcp_if_include", "eth0", "--host", ",".join(f"{address}:1" for address in self.addresses), "-n",
                len(self.names), *words]
        inside = 'hostname "$1"; shift; exec "$@"'
        return ["ip", "netns", "exec", self.names[0], "unshare", "--uts", "sh", "-c", inside, "sh", self.names[0], *map(str, line)]

    def bytes_sent(self, host):
        return json.loads(ip("-n", host, "-json", "-stats", "link", "show", "eth0"))[0]["stats64"]["tx"]["bytes"]
