#!/usr/bin/env python3
"""elbo trace and elbo gradcheck as their users meet them.

usage: trace_cli_test.py ELBO_BINARY. Prints one line for each check and closes with 'N passed, N failed'.
"""

import json
import os
import xml.etree.ElementTree

from program import check, elbo, finish, rejects, work_in_a_folder_of_its_own

work_in_a_folder_of_its_own("elbo-trace-")


def traced(what, *arguments):
    run = elbo("trace", "--data", "digits", "--limit", 60, "--repeats", 2, "--json", "--out", what, *arguments)
    check(f"traces {what}", run.returncode == 0, run.stderr)
    metrics = json.loads(run.stdout)["metrics"]
    for name in ["report.html", "result.json", "config.json", "tape.txt"]:
        check(f"{what}: writes {name}", os.path.exists(f"{what}/{name}"))
    return metrics["tapes"]


def names(tape):
    return [op["op"] for op in tape["ops"]]


# ---- a linear VAE, by either gradient: two entries and seven
tapes = traced("analytic", "--model", "linear", "--gradient", "analytic", "--latent", 3)
check("one training step of a linear VAE records two entries", [names(tape) for tape in tapes] == [["linear_vae_elbo", "affine"]], tapes)
tape = traced("linear", "--model", "linear", "--latent", 3)[0]
check("the sampled one seven", names(tape) == ["matmul_nt", "reparameterize_kl", "matmul_nt", "gaussian_log_likelihood", "sub", "mean", "affine"])
check("shapes are those of the batch", tape["ops"][0]["outputs"] == ["(60, 3)"] and tape["ops"][3]["outputs"] == ["(60,)"])
check("gradients of parameters are found", [i["parameter"] for op in tape["ops"] for i in op["inputs"] if i.get("parameter") and i["has_gradient"]]
      == ["encoder.weight", "log_variance", "decoder.weight", "log_sigma2"])

# ---- deep ones
tape = traced("mlp", "--model", "mlp", "--hidden", 200, "--latent", 4)[0]
meeting = [(op["op"], i["op"]) for op in tape["ops"] for i in op["inputs"] if i["added_to_another"]]
check("the two heads' gradients meet at the layer that both read", meeting == [("linear", 1)], meeting)
check("no op of the step is without gradient", all(op["reached"] for op in tape["ops"]))
check("what rules save is counted", sum(op["saved_bytes"] for op in tape["ops"]) > 60 * 784 * 4)
check("times are there", all(op["forward_seconds"] >= 0 for op in tape["ops"]) and sum(op["backward_seconds"] for op in tape["ops"]) > 0)
tape = traced("conv", "--model", "conv", "--channels", 2, "--latent", 2, "--batch", 8)[0]
check("convolutions are there, and a bound smaller batch", names(tape).count("conv_transpose2d") > 1 and tape["ops"][0]["outputs"][0].startswith("(8, "))
tapes = traced("parts", "--model", "mlp", "--hidden", "none", "--likelihood", "bernoulli", "--latent", 2, "--samples", 32)
check("a decoder that runs part by part has one tape for all parts", len(tapes) == 2 and tapes[0]["count"] > 1 and tapes[1]["count"] == 1,
      [tape["count"] for tape in tapes])

# ---- what is written
root = xml.etree.ElementTree.parse("mlp/figures/tape.svg").getroot()
check("the drawing is an SVG", root.tag.endswith("svg") and "viewBox" in root.attrib)
page = open("mlp/report.html", encoding="utf-8").read()
check("the report can be opened and closed, with the drawing in it", page.count("<details") == 2 and "<svg" in page.split("</details>")[0])
check("the text has a line for each entry", "reparameterize_kl" in open("mlp/tape.txt", encoding="utf-8").read())
check("options of training are train's", json.load(open("mlp/config.json"))["config"]["hidden"] == "200")

# ---- bad input
rejects("an unknown model", "trace", "--model", "transformer", mentions=["linear", "mlp", "conv"])
rejects("an option of deep VAEs for a linear one", "trace", "--model", "linear", "--hidden", 3, mentions=["--hidden"])
rejects("no repeats", "trace", "--repeats", 0)
rejects("a directory that is not empty", "trace", "--model", "linear", "--data", "digits", "--latent", 2, "--out", "mlp")

# ---- gradcheck
run = elbo("gradcheck", "--json", "--op", "matmul*,tanh")
found = json.loads(run.stdout)
ops = {row["name"] for row in found["ops"]}
check("gradcheck --op takes patterns", ops == {"matmul", "matmul_nt", "matmul_tn", "matmul_tt", "tanh"}, ops)
check("gradcheck says where it was weakest", len(found["weakest"]) == 3 and all(w["op"] in ops and " at [" in w["place"] for w in found["weakest"]), found["weakest"])
check("which is the worst of all rows", all(row["error"] <= found["weakest"][0]["error"] for row in found["ops"]))
run = elbo("gradcheck", "--op", "line?r")
check("and in its text, with the twin's comparison", "Where they were weakest:" in run.stdout and "op against its twin: " in run.stdout, run.stdout)
rejects("a pattern that fits no op", "gradcheck", "--op", "tanh,sine*", mentions=["sine*", "sigmoid"])

finish()
