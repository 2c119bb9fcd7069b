#!/usr/bin/env python3
"""Steps of one model whose ranks have a network between them, of several speeds: two hosts that are network namespaces of this machine.

usage: bench/ranks_over_network.py ELBO_BINARY [OTHER_BINARY...] [--rounds N] [--speeds MBIT,MBIT]

The step of the deep VAE 784-1024-512-200 at batch 128 and 1000, a rank with one thread on each host. Links are as fast as given, in both
directions (tc's token bucket). For each binary, in turn, the mean step of the best epoch but the first, in which AllReduce tries its ways
out. As root, with OpenMPI and the packages of scripts/setup cluster; 77 where something is missing.
"""

import argparse
import csv
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "tests"))
from hosts import Hosts
from program import skip
from sweeps import MPI_ENVIRONMENT, MPIRUN

STEPS, EPOCHS = 20, 4


def set_speed(hosts, mbit):
    for host in hosts.names:
        run = subprocess.run(["ip", "netns", "exec", host, "tc", "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", f"{mbit}mbit", "burst",
                              "512kb", "latency", "50ms"], capture_output=True, text=True)
        if run.returncode != 0:
            skip(f"tc: {run.stderr.strip()}")


def step(hosts, binary, batch, folder):
    """Milliseconds."""
    out = os.path.join(folder, "run")
    shutil.rmtree(out, ignore_errors=True)
    run = subprocess.run(hosts.command_line(MPIRUN, binary, "train", "--model", "mlp", "--data", "digits", "--limit", STEPS * batch,
                                            "--batch", batch, "--epochs", EPOCHS, "--threads", 1, "--device", "cpu", "--out", out),
                         env=MPI_ENVIRONMENT, capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"{binary}: {run.stderr}")
    with open(f"{out}/metrics.csv") as file:
        seconds = [float(row["seconds"]) for row in csv.DictReader(file)]
    return min(b - a for a, b in zip(seconds, seconds[1:])) / STEPS * 1000


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("binary", nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--speeds", default="1000,2500,10000", help="of the links, Mbit/s")
    arguments = parser.parse_args()
    if "--oversubscribe" not in MPIRUN:
        skip("there is no mpirun of OpenMPI, or the program was linked without it")
    binaries = [os.path.abspath(binary) for binary in arguments.binary]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        hosts = Hosts(2)
        print(f"{'batch':>5} {'Mbit/s':>7}  ms a step, median (least to most) of {arguments.rounds} rounds")
        for batch in (128, 1000):
            for mbit in map(int, arguments.speeds.split(",")):
                set_speed(hosts, mbit)
                found = {binary: [] for binary in binaries}
                for _ in range(arguments.rounds):
                    for binary in binaries:
                        found[binary].append(step(hosts, binary, batch, folder))
                print(f"{batch:>5} {mbit:>7}  " + "   ".join(f"{statistics.median(all):6.1f} ({min(all):.1f}-{max(all):.1f})" for all in found.values()),
                      flush=True)


main()
