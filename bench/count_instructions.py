#!/usr/bin/env python3
"""How many instructions training steps take, against what is stored: a slower step shows on a busy machine, too.

usage: bench/count_instructions.py ELBO_BINARY [--store]

Valgrind counts what three training steps of small networks take: a body of wide layers, small nets as one pass, an
ensemble of them, convolutions. On the path v3 and one thread, with the kernels that BLAS and oneDNN have for AVX2, so that
the counts do not depend on the machine; they do on the compiler and on those libraries, which are stored beside them in
bench/results/instructions.json. With others it says 'skipped: why' in the last line. The exit status is 1 where a case takes
over 5 % more than is stored. --store stores what is counted. ELBO_BINARY is of a build with -D ELBO_NATIVE=OFF.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile

STORED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results", "instructions.json")
MOST = 1.05
STEPS = 3
CASES = {
    "wide": ["--model", "mlp", "--data", "digits", "--hidden", "256,130", "--latent", "20", "--batch", "60"],
    "small": ["--model", "mlp", "--data", "ppca", "--hidden", "50,50", "--latent", "2", "--batch", "200", "--samples", "3"],
    "ensemble": ["--model", "mlp", "--data", "ppca", "--hidden", "50", "--latent", "2", "--batch", "100", "--sigma2",
                 "0.5,1,2,4"],
    "conv": ["--model", "conv", "--data", "digits", "--network", "asperti", "--channels", "8", "--latent", "4", "--batch", "8"],
}
ENVIRONMENT = {"ELBO_CPU": "v3", "OMP_WAIT_POLICY": "passive", "OPENBLAS_CORETYPE": "Haswell", "ONEDNN_MAX_CPU_ISA": "AVX2"}


def skip(why):
    print(f"skipped: {why}")
    sys.exit(0)


def count(program, options, folder):
    """Instructions of all training steps."""
    batch = options[options.index("--batch") + 1]
    run = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=elbo::Training::step()", program,
         "train", *options, "--limit", batch, "--epochs", str(STEPS), "--threads", "1", "--out", os.path.join(folder, "run")],
        capture_output=True, text=True, env={**os.environ, **ENVIRONMENT}, cwd=folder)
    shutil.rmtree(os.path.join(folder, "run"), ignore_errors=True)
    found = re.search(r"Collected : (\d+)", run.stderr)
    if run.returncode != 0 or not found or int(found[1]) == 0:
        sys.exit(f"{program} could not be counted: status {run.returncode}, {run.stderr[-2000:]}")
    return int(found[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("binary")
    parser.add_argument("--store", action="store_true")
    arguments = parser.parse_args()
    if not shutil.which("valgrind"):
        skip("valgrind is not installed")
    # Valgrind does not follow one program into another.
    program = os.path.join(os.path.dirname(os.path.abspath(arguments.binary)), "v3", "elbo")
    if not os.access(program, os.X_OK):
        skip(f"{program} is missing; the counts are of a build with -D ELBO_NATIVE=OFF")
    run = subprocess.run([program, "info", "--json"], capture_output=True, text=True, env={**os.environ, **ENVIRONMENT})
    if run.returncode != 0:
        skip(run.stderr.strip())
    info = json.loads(run.stdout)
    here = {"compiler": info["compiler"], "build": info["build"], "BLAS": " ".join(info["blas"].split()[:2]),
            "convolutions": info["convolutions"], "C library": " ".join(platform.libc_ver())}
    stored = {}
    if os.path.exists(STORED):
        with open(STORED) as file:
            stored = json.load(file)
    if not arguments.store:
        for what, value in stored["holds_for"].items():
            if here[what] != value:
                skip(f"the stored counts hold for {what} {value}, and here it is {here[what]}")
    counts, slower = {}, []
    with tempfile.TemporaryDirectory(prefix="elbo-instructions-") as folder:
        for name, options in CASES.items():
            counts[name] = count(program, options, folder)
            before = stored.get("instructions", {}).get(name)
            change = f"{100 * (counts[name] / before - 1):+.2f} % of {before}" if before else "new"
            print(f"{name:<10}{counts[name]:>14}   {change}", flush=True)
            if before and counts[name] > MOST * before:
                slower.append(name)
    if arguments.store:
        with open(STORED, "w") as file:
            json.dump({"steps": STEPS, "path": ENVIRONMENT["ELBO_CPU"], "holds_for": here, "instructions": counts}, file, indent=2)
            file.write("\n")
    elif slower:
        print(f"ERROR: {', '.join(slower)}: over {100 * (MOST - 1):.0f} % more instructions than stored. Find what takes them; "
              "if they are worth it, --store")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
