"""elbo reproduce and elbo proofread: docs/reproduction.md is what the kept results say; a figure is made by its name, once, and stands in
the ledger; every claim that experiments make is found where the ledger looks for it; tables are proofread.
"""

import json
import os
import shutil

from program import check, elbo, finish, rejects, work_in_a_folder_of_its_own

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
work_in_a_folder_of_its_own("ledger")
DATA = ["--data", "ppca", "--limit", 200, "--subset", 0, "--threads", 1]
DIGITS = ["--data", "digits", "--limit", 200, "--subset", 0, "--threads", 1, "--batch", 50]
# Small runs of the experiments whose claims the ledger looks for by their words; and the lines that such a run leaves without.
EXPERIMENTS = {
    "luecke-entropies": [*DATA, "--runs", 1, "--ring-runs", 1, "--points", 60, "--batch", 30, "--samples", 3, "--linear-epochs", 25,
                         "--image-epochs", 25, "--ring-epochs", 25, "--latent", 2],
    "luecke-noise": ["--threads", 1, "--runs", 1, "--points", 40, "--batch", 20, "--small-batch", 10, "--samples", 2, "--epochs", 25],
    "luecke-states": [*DATA, "--points", 50, "--batch", 25, "--samples", 2, "--frames", 2, "--shown", 10, "--at", "1,4", "--linear-epochs", 10,
                      "--image-epochs", 5, "--ring-epochs", 5, "--latent", 2],
    "luecke-streaming": [*DATA, "--points", 100, "--latent", 3, "--image-latent", 3, "--steps", 50, "--sweeps", 20, "--stream-steps", 40],
    "yacoby-optima": ["--threads", 1, "--grid", 5, "--starts", 2, "--members", 2, "--points", 40, "--steps", 50],
    "yacoby-posteriors": ["--threads", 1, "--restarts", 2, "--points", 40, "--epochs", 50, "--importance-samples", 50],
    "asperti-units": [*DIGITS, "--hidden", "32,16", "--epochs", 1, "--members", 2, "--conv-members", 1, "--conv-epochs", 1, "--pictures", 20,
                      "--law-data", "none"],
    "asperti-trajectories": [*DIGITS, "--hidden", "32,16", "--epochs", 1, "--every", 5, "--members", 1],
    "asperti-noise": [*DIGITS, "--hidden", "32,16", "--latent", 4, "--base-epochs", 2, "--epochs", 2, "--seeds", 1, "--units", 1],
    "asperti-calibrate": [*DIGITS, "--hidden", "32,16", "--latent", 4, "--lambdas", "0.1,0.5", "--latents", "2,4", "--epochs", 1, "--seeds", 1],
    "asperti-two-stage": [*DIGITS, "--hidden", "32,16", "--latent", 4, "--epochs", 1, "--second-hidden", "32,32", "--second-epochs", 1,
                          "--members", 3, "--points", 60, "--knn-repetitions", 2],
}
OF = {"luecke-entropies": "luecke/fig1", "luecke-noise": "luecke/fig2", "luecke-states": "luecke/fig3", "luecke-streaming": "luecke/appA",
      "yacoby-optima": ("yacoby/fig1", "yacoby/case"), "yacoby-posteriors": ("yacoby/fig2", "yacoby/fig3", "yacoby/fig4", "yacoby/fig5"),
      "asperti-units": ("asperti/fig2", "asperti/table1", "asperti/fig3", "asperti/fig4", "asperti/fig5", "asperti/sec5"),
      "asperti-trajectories": "asperti/fig1", "asperti-noise": "asperti/fig7", "asperti-calibrate": "asperti/sec7",
      "asperti-two-stage": "asperti/sec6"}


def ledger(folder):
    return json.loads(elbo("reproduce", "--from", folder, "--json").stdout)


# The page in docs/, written from the results that are kept.
os.symlink(os.path.join(ROOT, "bench"), "bench")
written = elbo("reproduce", "--from", "bench/results", "--markdown", "reproduction.md")
check("the ledger of the kept results is written", written.returncode == 0 and "not run" in written.stdout, written.stderr)
with open("reproduction.md") as new, open(os.path.join(ROOT, "docs", "reproduction.md")) as kept:
    check("docs/reproduction.md is up to date: elbo reproduce --from bench/results --markdown docs/reproduction.md", new.read() == kept.read())
with open(os.path.join(ROOT, "README.md")) as readme:
    check("the README links it in its first screen", "docs/reproduction.md" in "".join(readme.readlines()[:25]))
kept = ledger("bench/results")
check("every kept result of an experiment has lines", {line["source"].split("/")[0] for line in kept["lines"] if line["here"] is not None} >= {
    "asperti-noise", "asperti-units", "collapse-quick", "encoders", "full-width", "ppca-elbo", "ppca-landscape", "stochastic-elbo",
    "yacoby-table1"})
check("counts are of all lines", sum(count for verdict, count in kept["counts"].items() if verdict != "too good") == len(kept["lines"]))

# Names.
listed = elbo("list").stdout
check("elbo list has the names", all(name in listed for name in ("lucas/table1", "luecke/fig1c", "yacoby/table1", "asperti/fig7")))
rejects("a name that is none", "reproduce", "lucas/tabel1", mentions=["lucas/table1"])
rejects("no name", "reproduce", mentions=["lucas/fig1"])
rejects("names with --from", "reproduce", "lucas/fig1", "--from", "bench/results", mentions=["--from"])
rejects("a folder that is not there", "reproduce", "--from", "nowhere", mentions=["nowhere"])
plan = elbo("reproduce", "--quick", "--dry-run", "luecke", "lucas/table3", "--out", "planned")
check("--dry-run shows runs, command lines and costs", plan.returncode == 0 and "elbo luecke-entropies --quick" in plan.stdout
      and "5 min" in plan.stdout and "needs --celeba" in plan.stdout, plan.stdout + plan.stderr)
check("and writes nothing", not os.path.exists("planned"))

# One figure, made once.
first = elbo("reproduce", "--quick", "yacoby/fig1ab", "--out", "made", "--threads", 1)
check("a figure is made by its name", first.returncode == 0 and os.path.exists("made/yacoby-optima-quick/result.json"), first.stderr)
of = [line for line in json.load(open("made/ledger.json"))["lines"] if line["item"] == "yacoby/fig1ab"]
check("and stands in the ledger, with where it comes from", len(of) == 3 and all(
    line["verdict"] in ("holds", "fails") and line["command"] == "elbo reproduce --quick yacoby/fig1ab" and line["cpu"]
    and line["wall_seconds"] > 0 and "commit" in line for line in of), of)
page = open("made/ledger.html").read()
check("the page has it, and what was not run", "yacoby/fig1ab" in page and "not run" in page and "asperti/fig7" in page)
at = os.stat("made/yacoby-optima-quick/result.json").st_mtime_ns
second = elbo("reproduce", "--quick", "yacoby/fig1ab", "yacoby/caseC1", "--out", "made")
check("what is there is not made again", second.returncode == 0 and "done before" in second.stderr
      and os.stat("made/yacoby-optima-quick/result.json").st_mtime_ns == at, second.stderr)
os.remove("made/yacoby-optima-quick/result.json")
third = elbo("reproduce", "--quick", "yacoby/fig1ab", "--out", "made", "--threads", 1)
check("what was begun goes on", third.returncode == 0 and "--resume" in third.stderr
      and os.path.exists("made/yacoby-optima-quick/result.json"), third.stderr)
# The units of one figure, in a run whose result is of another's; files that say no more than that are enough.
os.makedirs("some/yacoby-posteriors-quick")
with open("some/yacoby-posteriors-quick/result.json", "w") as file:
    json.dump({"command": "yacoby-posteriors", "metrics": {"units": {"here": ["linear-jtex-truth"], "of": 6}}}, file)
for unit in ("linear-jtex", "cubic-jtex"):
    for method in ("truth", "vae", "libi"):
        os.makedirs(f"some/yacoby-posteriors-quick/{unit}-{method}")
        open(f"some/yacoby-posteriors-quick/{unit}-{method}/unit.json", "w").close()
plan = elbo("reproduce", "--quick", "yacoby/fig4", "--out", "some", "--dry-run")
check("units that no result tells of are not done", "1 of 1 runs to do" in plan.stdout, plan.stdout + plan.stderr)
only = elbo("reproduce", "--json", "--quick", "yacoby/fig1ab", "--out", "made")
check("--json prints the ledger alone", "lines" in json.loads(only.stdout))
os.makedirs("broken/yacoby-optima-quick")
with open("broken/yacoby-optima-quick/other.txt", "w") as file:
    file.write("somebody's")
failed = elbo("reproduce", "--quick", "yacoby/fig1ab", "--out", "broken")
check("a run that fails is said, and the ledger is written all the same", failed.returncode == 2 and "1 run failed" in failed.stderr
      and os.path.exists("broken/ledger.html"), failed.stderr)

# What cannot be done is said, and nothing else's file is written over.
rejects("a ledger of nowhere", "reproduce", "--from", "", mentions=["--from", "empty"])
with open("notes.md", "w") as file:
    file.write("# Notes\n")
rejects("a ledger over another file", "reproduce", "--from", "made", "--markdown", "notes.md", mentions=["notes.md"])
check("which stays", open("notes.md").read() == "# Notes\n")
for _ in range(2):
    elbo("reproduce", "--from", "made", "--markdown", "ledger.md")
check("but over an earlier one", open("ledger.md").read().startswith("# Reproduction"))
rejects("runs in a file", "reproduce", "--quick", "yacoby/fig1ab", "--out", "notes.md", mentions=["notes.md", "--out"])
rejects("a ledger below a file", "reproduce", "--from", "made", "--out", "notes.md/x", mentions=["notes.md/x"])
rejects("a plan as JSON", "reproduce", "yacoby/fig1ab", "--dry-run", "--json", mentions=["--json"])
check("the plan's lines are a shell's", "--out 'a b'\\''c/yacoby-optima'" in elbo("reproduce", "yacoby/fig1ab", "--dry-run", "--out", "a b'c").stdout)

# What the ledger looks for is what experiments say.
for name, options in EXPERIMENTS.items():
    run = elbo(name, *options, "--out", f"small/{name}")
    check(f"{name} runs", run.returncode == 0, run.stderr)
lines = ledger("small")["lines"]
for name, items in OF.items():
    missing = [f"{line['item']}: {line['what']}" for line in lines if line["item"].startswith(items) and line["verdict"] == "not run"]
    check(f"every line of {name} is found in its result", not missing, missing)

# Proofreading.
GOLDENS = os.path.join(ROOT, "tests", "goldens")
two = elbo("proofread", f"{GOLDENS}/lucas_table2.csv", "--dimensions", 784)
check("a published table's errors are found, with rows and columns", two.returncode == 0 and "start 0.003, learned no" in two.stdout
      and "start 0.001, learned no" in two.stdout and "sigma2_tuned" in two.stdout and two.stdout.count("\n") == 4, two.stdout + two.stderr)
with open("clean.csv", "w") as file:
    file.write("sigma2,elbo,elbo_tuned,sigma2_tuned,kl\n1,-725.19,-725.19,1.0,4.75\n")
clean = elbo("proofread", "clean.csv", "--dimensions", 784, "--json")
check("a clean table has none", clean.returncode == 0 and json.loads(clean.stdout) == {"rows": 1, "findings": []}, clean.stdout + clean.stderr)
rejects("a table without D", "proofread", "clean.csv", mentions=["--dimensions"])
rejects("a file that is not there", "proofread", "nowhere.csv", "--dimensions", 784, mentions=["nowhere.csv"])
shutil.rmtree("small")
finish()
