#!/usr/bin/env python3
"""The entropy gauge of train and evaluate: results, tables, reports and CSV files, for linear and deep VAEs.

usage: entropy_cli_test.py ELBO_BINARY. Prints one line for each check and closes with 'N passed, N failed'.
"""

import csv
import json
import math

from program import check, elbo, finish, work_in_a_folder_of_its_own

work_in_a_folder_of_its_own("elbo-entropies-")


def metrics_of(run, *more):
    done = elbo("evaluate", run, "--json", *more)
    return json.loads(done.stdout)["metrics"] if done.returncode == 0 else {"error": done.stderr}


def train(name, *options):
    done = elbo("train", "--out", name, "--json", *options)
    check(f"{name} trains", done.returncode == 0, done.stderr)
    return json.loads(done.stdout)["metrics"] if done.returncode == 0 else {}


def adds_up(m, tolerance):
    """E from the entropies, the gap from E, the gap from its parts, the parts from r and m2."""
    k, moments = len(m["latent_second_moments"]), m["latent_second_moments"]
    return (abs(m["encoder_entropy"] - m["prior_entropy"] - m["decoder_entropy"] - m["entropy_sum"]) < tolerance and
            abs(m["elbo"] - m["entropy_sum"] - m["entropy_gap"]) < tolerance and
            abs(m["entropy_gap_decoder"] + m["entropy_gap_prior"] - m["entropy_gap"]) < tolerance and
            abs(5 * (1 - m["noise_ratio"]) - m["entropy_gap_decoder"]) < tolerance and
            abs(sum(0.5 * (1 - moment) for moment in moments) - m["entropy_gap_prior"]) < tolerance and
            abs(m["prior_entropy"] - 0.5 * k * math.log(2 * math.pi * math.e)) < tolerance and
            abs(m["z_log_volume"] - m["x_log_volume"] + (10 - k) * math.log(2) - 5 * math.log(2 * math.pi * math.e) - m["entropy_sum"]) < tolerance and
            abs(m["entropy_gap_percent"] - 100 * m["entropy_gap"] / abs(m["elbo"])) < 1e-6)


data = ["--data", "ppca", "--limit", 600]
linear = [*data, "--model", "linear", "--latent", 2, "--batch", 100, "--lr", 0.01]

# ---- linear VAEs
m = train("linear", *linear, "--epochs", 30, "--polish", 60)
check("at the optimum of a linear VAE the entropies are its log-likelihood", m["entropies_obstacle"] == "" and abs(m["entropy_gap"]) < 1e-4 and
      abs(m["entropy_sum"] - m["ppca_maximum"]) < 1e-4 and abs(m["noise_ratio"] - 1) < 1e-4 and abs(m["encoder_slope"]) < 1e-4, m)
check("its gauge adds up, and is exact", adds_up(m, 1e-9) and m["entropy_gap_standard_error"] is None and m["encoder_slope_standard_error"] is None, m)
again = metrics_of("linear")
check("evaluate says the same", all(again[name] == m[name] for name in m if name.startswith(("entropy", "entropies", "noise_ratio"))), again)
rows = list(csv.DictReader(open("linear/metrics.csv")))
check("every epoch has the sum", len(rows) == 30 and all(math.isfinite(float(row["entropy_sum"])) for row in rows), rows[:1])
page = open("linear/report.html").read()
check("the report has the gauge and its figure", "Entropies" in page and "their sum" in page and "ELBO and entropies" in page)
table = elbo("evaluate", "linear").stdout
check("the table has sum, gap and its parts", all(text in table for text in ("sum of three entropies", "ELBO minus that sum", "nats, ",
      "of which by σ²: squared errors are 1 of σ²", "of which by the prior: E z² is 1 of its variance", "slope of the ELBO by ln of the posteriors' variances")), table)
unfinished = train("unfinished", *linear, "--epochs", 2)
last = list(csv.DictReader(open("unfinished/metrics.csv")))[-1]
check("its last epoch has what it ends with", abs(float(last["entropy_sum"]) - unfinished["entropy_sum"]) < 1e-6, last)
check("away from the optimum there is a gap, of known parts", unfinished["entropies_obstacle"] == "" and abs(unfinished["entropy_gap"]) > 0.1 and
      adds_up(unfinished, 1e-9), unfinished)

fixed = train("fixed", *linear, "--epochs", 30, "--sigma2", 0.04, "--fix-sigma2", "--polish", 200)
check("a fixed sigma^2 is the reason why not", fixed["entropies_obstacle"] == "σ² is fixed", fixed)
ppca = json.loads(elbo("ppca", *data, "--latent", 2, "--json").stdout)["metrics"]
left = sum(0.5 * (1 - value / 0.04) for value in ppca["eigenvalues"][2:])
check("and leaves the finite gap of theory", abs(fixed["entropy_gap"] - left) < 1e-3 and left > 1, f"{fixed['entropy_gap']} {left}")
check("the file remembers", metrics_of("fixed")["entropies_obstacle"] == "σ² is fixed")
check("as do table and report", "not applicable: σ² is fixed" in elbo("evaluate", "fixed").stdout and
      "not applicable: σ² is fixed" in open("fixed/report.html").read())
other = metrics_of("linear", "--seed", 5)
check("on other points the gap need not close", other["entropies_obstacle"] == "these are not the points that the model was trained on", other)

# ---- deep VAEs
deep = ["--model", "mlp", "--hidden", "12", "--latent", 3, "--batch", 100, "--lr", 0.01]
for likelihood in ("gaussian", "diagonal"):
    m = train(likelihood, "--data", "ppca-ring", "--limit", 400, *deep, "--likelihood", likelihood, "--epochs", 15)
    check(f"{likelihood}: the gauge adds up", m["entropies_obstacle"] == "" and adds_up(m, 1e-3) and m["entropy_gap_standard_error"] > 0, m)
    again = metrics_of(likelihood)
    check(f"{likelihood}: evaluate says the same", again["entropy_gap"] == m["entropy_gap"] and again["entropies_obstacle"] == "", again)
    rows = list(csv.DictReader(open(f"{likelihood}/metrics.csv")))
    last = {name: float(rows[-1][name]) for name in ("prior_entropy", "decoder_entropy", "encoder_entropy", "elbo")}
    check(f"{likelihood}: epochs have the entropies", len(rows) == 15 and abs(last["decoder_entropy"] - m["decoder_entropy"]) < 1 and
          abs(last["prior_entropy"] - m["prior_entropy"]) < 1e-4 and abs(last["encoder_entropy"] - m["encoder_entropy"]) < 1, last)
    drawn = [line.split(",") for line in open(f"{likelihood}/figures/entropies.csv").read().splitlines()]
    check(f"{likelihood}: the figure has their sum", any(abs(float(cell) - (last["encoder_entropy"] - last["prior_entropy"] - last["decoder_entropy"]))
          < 1e-4 for row in drawn[1:] for cell in row if cell.lstrip("-")[:1].isdigit()), drawn[-2:])
    check(f"{likelihood}: the report shows them", "ELBO and entropies" in open(f"{likelihood}/report.html").read())
    table = elbo("evaluate", likelihood).stdout
    check(f"{likelihood}: the table has the gap with its error, and its parts", " ± " in [
        line for line in table.splitlines() if line.startswith("ELBO minus that sum")][0] and "of which by σ²" in table, table)
    check(f"{likelihood}: the encoder's slope has an error, in table and report too", m["encoder_slope_standard_error"] > 0 and any(
          f"{m['encoder_slope']:.3f} ± {m['encoder_slope_standard_error']:.3f} nats" in line for line in table.splitlines() if line.startswith("slope of the ELBO")) and
          f"{m['encoder_slope']:.3f}" in open(f"{likelihood}/report.html").read() and " standard error, over points and draws, is" in open(f"{likelihood}/report.html").read(), table)
    check(f"{likelihood}: the sum has an error where it is drawn", (m["entropy_sum_standard_error"] is None) == (likelihood == "gaussian"), m)

for name, options, reason in (
        ("beta", ["--beta", 2], "the KL's weight is 2, not 1"),
        ("free", ["--penalty", "free-bits", "--free-nats", 0.2], "the objective gives each unit 0.2 nats free"),
        ("annealed", ["--annealing", "linear", "--annealing-epochs", 100], "the KL's weight is 0.0"),
        ("held", ["--fix-sigma2"], "σ² is fixed")):
    m = train(name, "--data", "ppca-ring", "--limit", 300, *deep, "--epochs", 2, *options)
    check(f"{name} is a reason why not, which its file knows", m["entropies_obstacle"].startswith(reason) and
          metrics_of(name)["entropies_obstacle"] == m["entropies_obstacle"] and m["entropy_sum"] is not None, m.get("entropies_obstacle"))
arrived = train("arrived", "--data", "ppca-ring", "--limit", 300, *deep, "--epochs", 3, "--annealing", "linear", "--annealing-epochs", 1)
check("an annealing that has ended is none", arrived["entropies_obstacle"] == "", arrived["entropies_obstacle"])
binary = train("bernoulli", "--data", "digits", "--limit", 100, *deep, "--likelihood", "bernoulli", "--epochs", 1)
check("a Bernoulli VAE has none of these entropies", binary["entropy_sum"] is None and binary["encoder_slope"] is None and
      binary["entropies_obstacle"] == "the likelihood is not Gaussian" and "entropy" not in open("bernoulli/metrics.csv").readline(), binary)
both = train("both", "--data", "ppca-ring", "--limit", 300, *deep, "--epochs", 2, "--beta", "1,3")
check("each member has its own", [entry["metrics"]["entropies_obstacle"] for entry in both["members"]] == ["", "the KL's weight is 3, not 1"] and
      metrics_of("both", "--member", 1)["entropies_obstacle"] == "the KL's weight is 3, not 1", both["members"])
check("the report says of which member the gap need not close, and why",
      "not applicable to member 1: the KL" in open("both/report.html").read())
patient = ["--data", "ppca-ring", "--limit", 400, "--validation", 0.25, *deep[:-2], "--epochs", 60, "--annealing", "linear",
           "--annealing-epochs", 55, "--validate-every", 1, "--patience", 3]
pair = train("pair", *patient, "--lr", "0.01,1e-6")["members"]
alone = train("alone", *patient, "--lr", "0.01")
check("a member that patience ended says what its objective was then", pair[0]["validation"]["epoch"] < 50 and pair[1]["metrics"]["entropies_obstacle"] == "" and
      pair[0]["metrics"]["entropies_obstacle"] == alone["entropies_obstacle"] != "", (pair, alone["entropies_obstacle"]))

# ---- broken off and resumed, everything is as it would have been
whole = [*data, *deep, "--epochs", 4]
train("whole", *whole)
train("short", *whole[:-1], 2)
done = elbo("train", "--resume", "short", "--epochs", 4, "--json")
without_time = lambda name: [line.rpartition(",")[0] for line in open(f"{name}/metrics.csv")]
check("a resumed run has the entropies of an unbroken one", done.returncode == 0 and without_time("short") == without_time("whole"), done.stderr)
check("in its figure too", open("short/figures/entropies.csv").read() == open("whole/figures/entropies.csv").read())

finish()
