#!/usr/bin/env python3
"""elbo as a library: installed into a folder, found by CMake and pkg-config, and as a part of another project.

usage: install_test.py ELBO_BINARY BUILD_FOLDER. docs/examples/own_vae is built outside the tree against what was
installed, and run; check.py there compares its ELBO with integrals. Prints one line for each check and closes with
'N passed, N failed'. Exit status 77: NumPy is not installed.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys

from program import BINARY, check, finish, work_in_a_folder_of_its_own, write

try:
    import numpy  # noqa: F401, what the example's scripts need
except ImportError:
    print("skipped: numpy not found")
    sys.exit(77)
BUILD = os.path.abspath(sys.argv[2])
SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
work_in_a_folder_of_its_own("elbo-install-")
cache = dict(re.findall(r"^(\w+):\w+=(.*)$", open(os.path.join(BUILD, "CMakeCache.txt"), encoding="utf-8").read(), re.M))
compiler, launcher = cache["CMAKE_CXX_COMPILER"], shutil.which("ccache")
common = [f"-DCMAKE_CXX_COMPILER={compiler}", *([f"-DCMAKE_CXX_COMPILER_LAUNCHER={launcher}"] if launcher else []),
          "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON", "-G", cache["CMAKE_GENERATOR"]]


def run(what, *command, **options):
    """The output of a command that must succeed."""
    try:
        done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    except OSError as error:  # what should have made the command failed
        check(what, False, error)
        return ""
    check(what, done.returncode == 0, done.stdout[-3000:])
    return done.stdout if done.returncode == 0 else ""


def commands(build):
    """How the files of a project are compiled, by their names."""
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        return {os.path.basename(one["file"]): one["command"] for one in json.load(file)}


def brings_what_headers_need(flags):
    return {"-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"} <= set(flags) and any(flag.startswith("-fopenmp") for flag in flags)


# ---- what is installed
# It is moved after it was installed, as a package is: nothing in it may name the first place.
run("installs", "cmake", "--install", BUILD, "--prefix", os.path.abspath("first"))
os.rename("first", "there")
prefix = os.path.abspath("there")
files = {os.path.relpath(os.path.join(folder, name), prefix) for folder, _, names in os.walk(prefix) for name in names}
check("the program is installed", subprocess.run([prefix + "/bin/elbo", "--version"], capture_output=True, text=True).stdout ==
      subprocess.run([BINARY, "--version"], capture_output=True, text=True).stdout != "")
check("public headers lie under elbo/, others under elbo/detail/", {"include/elbo/vae/deep_vae.h", "include/elbo/detail/tensor/loop.h"} <= files
      and "include/elbo/tensor/loop.h" not in files)
check("nothing of apps/ and tests/ is installed", not [name for name in files if re.search("elbo_(support|tests|training)|apps/|doctest", name)])
texts = {name: open(os.path.join(prefix, name), encoding="utf-8").read() for name in files if name.endswith((".cmake", ".pc"))}


def names(text, path):
    """Whether a path stands there by itself, also as in -I/path: /elbo is no part of include/elbo or of /elbo-config."""
    return re.search(f"(?<![a-z0-9_.}}/-]){re.escape(path)}(?![a-z0-9_-])", text)


check("a path is told from a part of another", names("-I/elbo/tensor", "/elbo") and names('"/elbo"', "/elbo") and
      not any(names(text, "/elbo") for text in ("${prefix}/include/elbo/vae", "lib/cmake/elbo", "${DIR}/elbo-config.cmake")))
check("the package names neither the source nor the build nor the first place",
      not [name for name, text in texts.items() for path in (SOURCE, BUILD, os.path.abspath("first")) if names(text, path)])

# ---- find_package
example = shutil.copytree(os.path.join(SOURCE, "docs", "examples", "own_vae"), "own_vae")
run("the example finds the package", "cmake", "-S", example, "-B", "found", f"-DCMAKE_PREFIX_PATH={prefix}", *common)
run("and builds", "cmake", "--build", "found")
flags = shlex.split(commands("found").get("own_vae.cpp", ""))
check("with what headers need", brings_what_headers_need(flags), flags)
check("and neither with warnings nor for one processor", not [flag for flag in flags if flag.startswith(("-W", "-march", "-mcpu"))], flags)
run("points are made", sys.executable, f"{example}/points.py", "points.npy")
os.mkdir("run")
said = run("the example runs", "found/own_vae", "points.npy", "run")
print(said)
check("its op passes the gradient check", "gradient check passed" in said, said)
said = run("what it trained is what it says, by NumPy's integrals", sys.executable, f"{example}/check.py", "points.npy", "run")
print(said)
refused = subprocess.run(["found/own_vae", "missing.npy", "run"], capture_output=True, text=True)
check("a file that is missing is one line and status 2", refused.returncode == 2 and refused.stderr.count("\n") == 1, refused.stderr)

# ---- pkg-config
if shutil.which("pkg-config"):
    write("main.cpp", b'''#include <elbo/datasets/npy.h>
#include <elbo/nn/safetensors.h>
int main() {
  const elbo::Tensor x = elbo::read_npy("points.npy");
  elbo::write_safetensors("x.safetensors", {{"x", x}});
  return elbo::read_safetensors("x.safetensors").at("x").size(0) == 1000 ? 0 : 1;
}
''')
    environment = {**os.environ, "PKG_CONFIG_PATH": prefix + "/" + os.path.dirname(next(name for name in files if name.endswith(".pc")))}
    options = run("pkg-config knows elbo", "pkg-config", "--cflags", "--libs", "elbo", env=environment).split()
    run("a program builds with what it says", compiler, "main.cpp", *options, "-o", "main")
    run("and runs", "./main")
else:
    print("skipped: pkg-config not found")

# ---- as a part of another project
run("the example takes elbo's sources", "cmake", "-S", example, "-B", "part", f"-DELBO_SOURCE={SOURCE}", "-DCMAKE_BUILD_TYPE=Debug",
    "-DELBO_CUDA=OFF", *common)
compiled = commands("part")
check("which brings libraries alone", "deep_vae.cpp" in compiled and "main.cpp" not in compiled and "house_test.cpp" not in compiled)
check("for any processor", "-march" not in compiled["deep_vae.cpp"] and "-mcpu" not in compiled["deep_vae.cpp"])
flags = shlex.split(compiled["own_vae.cpp"])
check("and to the program what installed ones bring", brings_what_headers_need(flags) and
      not [flag for flag in flags if flag.startswith(("-W", "-march")) or flag in (f"-I{SOURCE}", "-isystem" + SOURCE)], flags)
if cache["CMAKE_GENERATOR"] == "Ninja":
    run("and it compiles, its headers being made first", "cmake", "--build", "part", "--target", "CMakeFiles/own_vae.dir/own_vae.cpp.o")
finish()
