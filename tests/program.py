"""What the scripts that run the elbo program share: checks that are counted, and a place of their own to work in.

The program is the first argument of the script.
"""

import os
import subprocess
import sys
import tempfile

BINARY = os.path.abspath(sys.argv[1])
passed = failed = 0


def check(what, holds, detail=""):
    global passed, failed
    passed, failed = passed + bool(holds), failed + (not holds)
    print(f"{'ok   ' if holds else 'FAILS'} {what}" + (f": {detail}" if not holds and detail else ""), flush=True)


def skip(why):
    """Ends the script as one that this machine cannot run."""
    print(f"skipped: {why}")
    sys.exit(77)


def elbo(*arguments, **options):
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=300, **options)


def rejects(what, *arguments, mentions=()):
    """Exit status 2, one line on standard error that mentions what matters, nothing on standard output."""
    run = elbo(*arguments)
    lines = run.stderr.strip().split("\n")
    good = run.returncode == 2 and len(lines) == 1 and lines[0].startswith("elbo: ") and not run.stdout
    check(f"rejects {what}", good and all(word in run.stderr for word in mentions),
          f"status {run.returncode}, stderr {run.stderr!r}")


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)
    return path


def work_in_a_folder_of_its_own(name):
    """Two folders down, so that no ../shared/data of the machine's is in reach."""
    os.makedirs(os.path.join(work := tempfile.mkdtemp(prefix=name), "a", "b"))
    os.chdir(os.path.join(work, "a", "b"))
    os.environ["ELBO_DATA"] = os.path.join(os.getcwd(), "nowhere")


def finish():
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)
