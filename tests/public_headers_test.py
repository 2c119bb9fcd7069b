#!/usr/bin/env python3
"""The headers that programs outside the tree include: each compiles alone, shows its use, and is in docs/library.md.

usage: public_headers_test.py BUILD_FOLDER. Prints one line for each check and closes with 'N passed, N failed'.
"""

import concurrent.futures
import os
import re
import shutil
import subprocess
import sys

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
INCLUDE = os.path.join(os.path.abspath(sys.argv[1]), "include")
passed = failed = 0


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()


def check(what, holds, detail=""):
    global passed, failed
    passed, failed = passed + bool(holds), failed + (not holds)
    print(f"{'ok   ' if holds else 'FAILS'} {what}" + (f": {detail}" if not holds and detail else ""), flush=True)


listed = re.search(r"set\(elbo_public_headers([^)]*)\)", read(SOURCE, "cmake", "public_headers.cmake"))[1].split()
made = sorted(os.path.relpath(os.path.join(folder, name), os.path.join(INCLUDE, "elbo"))
              for folder, _, names in os.walk(os.path.join(INCLUDE, "elbo")) for name in names)
check("the build makes the headers of the list, and no others but details",
      [name for name in made if not name.startswith("detail/")] == sorted(listed))
described = re.findall(r"`([a-z]+/\w+\.h)`", read(SOURCE, "docs", "library.md"))
check("docs/library.md names each of them once", sorted(described) == sorted(listed), set(described) ^ set(listed))


# An opening is the comment before #pragma once; its example is what is indented there.
def example_of(name):
    return [line for line in read(SOURCE, name).split("#pragma once")[0].split("\n") if re.match(r"//  +\S", line)]


without = [name for name in listed if not example_of(name)]
check("each begins with its use", not without, without)

cache = read(sys.argv[1], "CMakeCache.txt")
compiler = re.search(r"^CMAKE_CXX_COMPILER:\w+=(.*)$", cache, re.M)[1]
launcher = [shutil.which("ccache")] if shutil.which("ccache") else []
flags = re.search(r"^Cflags: (.*)$", read(sys.argv[1], "elbo.pc"), re.M)[1].replace("-I${includedir}", f"-I{INCLUDE}").split()
if shutil.which("pkg-config") and subprocess.run(["pkg-config", "--exists", "fmt"]).returncode == 0:
    flags += subprocess.check_output(["pkg-config", "--cflags", "fmt"], text=True).split()
work = os.path.join(os.path.abspath(sys.argv[1]), "public_headers_test")  # one place, by which a compiler cache knows them again
os.makedirs(work, exist_ok=True)


def compile_alone(name):
    """What the compiler says of a program that includes it alone, twice."""
    stem = os.path.join(work, name.replace("/", "_")[:-2])
    with open(stem + ".cpp", "w", encoding="utf-8") as file:
        file.write(f"#include <elbo/{name}>\n#include <elbo/{name}>\nint main() {{}}\n")
    return subprocess.run([*launcher, compiler, *flags, "-c", os.path.basename(stem) + ".cpp", "-o",
                           os.path.basename(stem) + ".o"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=work)


with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    for name, done in zip(listed, pool.map(compile_alone, listed)):
        check(f"{name} compiles alone", done.returncode == 0, done.stdout[-2000:])
print(f"{passed} passed, {failed} failed")
sys.exit(failed > 0)
