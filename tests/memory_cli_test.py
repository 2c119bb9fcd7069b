#!/usr/bin/env python3
"""What does not fit in memory, or on a disk, is said in one line that names the option to give less of, with exit status 2; and nothing
that was written before is harmed.

usage: memory_cli_test.py ELBO_BINARY. Prints one line for each check and closes with 'N passed, N failed'.
"""

import os
import resource
import subprocess

from program import BINARY, check, elbo, finish, rejects, work_in_a_folder_of_its_own

work_in_a_folder_of_its_own("elbo-memory-")
# Beyond these 16 GiB of addresses a request is refused, on machines with more memory too.
resource.setrlimit(resource.RLIMIT_AS, (1 << 34, 1 << 34))
FACES = ["--data", "faces", "--limit", 16000000]  # 196 GB
SMALL = ["--data", "digits", "--limit", 60]

# ---- data that do not fit, in every command that reads some: less of what the user chose comes first
for command in ("train", "ppca", "forecast", "ppca-landscape", "ppca-elbo", "stochastic-elbo", "encoders", "collapse", "luecke-entropies",
                "luecke-states", "luecke-streaming", "asperti-units", "asperti-trajectories", "asperti-noise", "asperti-two-stage",
                "asperti-calibrate"):
    out = {"ppca": [], "forecast": ["--sigma2", 1]}.get(command, ["--out", "never"])
    rejects(f"{command} of 16 million faces", command, *FACES, *out, mentions=["out of memory", "try less of --limit"])
# ---- models and sets that do not
rejects("layers of a million units", "train", "--model", "mlp", *SMALL, "--hidden", "1000000,1000000", "--out", "wide",
        mentions=["out of memory", "try less of ", "--hidden", "--limit", "--batch"])
check("whose name is free for another try", not os.path.exists("wide"))
rejects("sets of 8 billion points", "yacoby-table1", "--data-sets", "gaussian", "--methods", "vae", "--points", 16000000, "--sets", 500,
        "--out", "sets", mentions=["out of memory", "try less of --sets, --points"])
# ---- what a trained model is asked for
run = elbo("train", "--model", "mlp", *SMALL, "--hidden", 4, "--latent", 2, "--epochs", 1, "--out", "run")
check("train writes a run", run.returncode == 0, run.stderr)
before = open("run/model.safetensors", "rb").read()
for command in ("evaluate", "encode", "reconstruct", "traverse", "interpolate"):
    out = {"evaluate": [], "encode": ["--out", "never.npz"]}.get(command, ["--out", "never"])
    rejects(f"{command} of 16 million faces", command, "run", *FACES, *out, mentions=["out of memory", "try less of --limit"])
rejects("a hundred million pictures", "sample", "run", "--count", 100000000, "--out", "many", mentions=["--count"])

# ---- a disk that is full, and one that fails
full = elbo("sample", "run", "--count", 100, "--out", "pictures", restore_signals=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 10, 1 << 10)))
check("a picture that the disk has no room for", full.returncode == 2 and full.stderr.startswith("elbo: [file] cannot write") and
      full.stderr.count("\n") == 1, (full.returncode, full.stderr))
for command in (["list"], ["info"], ["evaluate", "run", "--json"], ["forecast", *SMALL, "--sigma2", 1], ["ppca", *SMALL, "--latent", 2]):
    with open("/dev/full", "w") as full:
        run = subprocess.run([BINARY, *map(str, command)], stdout=full, stderr=subprocess.PIPE, text=True)
    check(f"{command[0]} says that standard output is full", run.returncode == 2 and run.stderr.startswith("elbo: ") and
          "standard output" in run.stderr and run.stderr.count("\n") == 1, (run.returncode, run.stderr))
check("and nothing was written", not os.path.exists("never") and not os.path.exists("never.npz") and os.listdir("pictures") == [])
check("nor harmed", open("run/model.safetensors", "rb").read() == before)

finish()
