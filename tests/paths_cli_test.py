#!/usr/bin/env python3
"""The paths of a program for any processor: which one is taken, what it computes, and what instructions it is made of; and
OpenBLAS's kernels.

usage: paths_cli_test.py ELBO_BINARY. Prints one line for each check and closes with 'N passed, N failed'. Of a build for one
processor only what ELBO_CPU says is checked.
"""

import json
import os
import re
import shutil
import subprocess

from program import BINARY, check, elbo, finish, work_in_a_folder_of_its_own

work_in_a_folder_of_its_own("elbo-paths-")
os.environ.pop("ELBO_CPU", None)

# What Linux calls that which a level of x86-64 has beyond the one before it.
EXTENSIONS = {"baseline": [], "native": [], "v2": ["ssse3", "sse4_2", "popcnt"], "v3": ["avx2", "fma", "bmi2", "abm"],
              "v4": ["avx512f", "avx512bw", "avx512dq", "avx512vl"]}


def processor_flags():
    with open("/proc/cpuinfo") as file:
        return set(re.search(r"^flags\s*:(.*)$", file.read() + "\nflags :", re.M)[1].split())


def on(path, *arguments):
    return elbo(*arguments, env={**os.environ, "ELBO_CPU": path})


def path_of(run):
    return json.loads(run.stdout)["path"]["name"] if run.returncode == 0 else run.stderr


def refused(what, run, *mentions):
    lines = run.stderr.strip().split("\n")
    check(what, run.returncode == 2 and len(lines) == 1 and lines[0].startswith("elbo: [ELBO_CPU] ") and not run.stdout and
          all(word in run.stderr for word in mentions), f"status {run.returncode}, {run.stderr!r}")


def registers_in(file):
    """Which of the wide vector registers the program's own code names."""
    code = subprocess.Popen(["objdump", "-d", "--no-show-raw-insn", file], stdout=subprocess.PIPE, text=True)
    return {kind for line in code.stdout for kind in re.findall(r"%([yz]mm|k[1-7]\b)", line)}


info = json.loads(elbo("info", "--json").stdout)
paths, flags = info["path"]["all"], processor_flags()
can_run, needed = [], set()
for path in paths:
    needed |= set(EXTENSIONS[path])
    if needed <= flags:
        can_run.append(path)
check("the best path that the processor can run is taken", info["path"]["name"] == can_run[-1], info["path"])
check("info says it in words", f"path       {info['path']['name']}, {info['path']['vectors']}" in elbo("info").stdout)
check("what is recorded of a run says the vectors", info["build"].endswith(info["path"]["vectors"]), info["build"])
check("an empty ELBO_CPU is none", path_of(on("", "info", "--json")) == can_run[-1])
refused("an unknown path", on("v9", "info"), "'v9'", *(["one path", "ELBO_NATIVE=OFF"] if len(paths) == 1 else paths))
for path in paths:
    if path in can_run:
        check(f"{path} can be asked for", path_of(on(path, "info", "--json")) == path)
    else:
        refused(f"{path}, which this processor lacks", on(path, "info"), f"'{path}', which needs ", "this processor lacks")

if "DYNAMIC_ARCH" in info["blas"] and {"avx2", "fma"} <= flags:
    unasked = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}
    warned = lambda environment: json.loads(elbo("info", "--json", env=environment).stdout)["blas_warning"]
    check("OpenBLAS uses what the processor has, though it may be newer", warned(unasked) is None, warned(unasked))
    check("what the user asks of OpenBLAS is left alone, and warned of", "OPENBLAS_CORETYPE=" in
          (warned({**unasked, "OPENBLAS_CORETYPE": "Prescott"}) or ""))
else:
    print("skipped: OpenBLAS's choice, as it has none here")

if len(paths) > 1:
    folder = os.path.dirname(BINARY)
    files = {path: BINARY if path == "baseline" else os.path.join(folder, path, "elbo") for path in paths}
    results = {}
    for path in can_run:
        run = on(path, "gradcheck", "--json")
        check(f"every op's gradient is right on {path}", run.returncode == 0, run.stderr)
        run = on(path, "train", "--model", "mlp", "--data", "digits", "--limit", 200, "--hidden", "64,32", "--latent", 4,
                 "--batch", 50, "--epochs", 2, "--json")
        results[path] = json.loads(run.stdout)["metrics"]["elbo"] if run.returncode == 0 else run.stderr
        check(f"a network trains on {path} as on {can_run[0]}, to rounding", isinstance(results[path], float) and
              abs(results[path] / results[can_run[0]] - 1) < 1e-4, results)
    best = can_run[-1]
    run = subprocess.run([files[best], "info", "--json"], capture_output=True, text=True, env={**os.environ, "ELBO_CPU": best})
    check("a path's own program is that path", path_of(run) == best)

    # What a lesser processor would die of is not in the program that it runs. Where v3 and v4 are what they are called for,
    # the search finds what it looks for.
    if shutil.which("objdump"):
        wide = {path: registers_in(file) for path, file in files.items()}
        if "without AVX2" in json.loads(on("baseline", "info", "--json").stdout)["path"]["vectors"]:
            check("no AVX in the baseline", not wide["baseline"], wide)
        if "v3" in wide:
            check("AVX2 in v3, and no AVX-512", wide["v3"] == {"ymm"}, wide)
        if "v4" in wide:
            check("AVX-512 in v4", "zmm" in wide["v4"], wide)
    else:
        print("objdump is missing: instructions were not looked at", flush=True)

    # The file alone, as somebody might copy it: slower, and it says so.
    shutil.copy(BINARY, "elbo")
    alone = subprocess.run(["./elbo", "info", "--json"], capture_output=True, text=True)
    check("without the others beside it the baseline runs", path_of(alone) == "baseline")
    if best != "baseline":
        refused("a path whose program is not there", subprocess.run(
            ["./elbo", "info"], capture_output=True, text=True, env={**os.environ, "ELBO_CPU": best}), "was not found")
    # Where an installation puts them.
    os.makedirs("bin")
    os.rename("elbo", "bin/elbo")
    for path in paths[1:]:
        os.makedirs(f"libexec/elbo/{path}")
        os.symlink(files[path], f"libexec/elbo/{path}/elbo")
    check("installed, the others are found in libexec", path_of(subprocess.run(
        ["bin/elbo", "info", "--json"], capture_output=True, text=True)) == best)

finish()
