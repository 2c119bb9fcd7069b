"""yacoby-optima finds the paper's numbers and says where they come from; yacoby-mobius fits, and writes what elbo stores."""

import json
import os

from program import check, elbo, finish, rejects, work_in_a_folder_of_its_own

work_in_a_folder_of_its_own("yacoby")


def near(a, b, tolerance):
    return abs(a - b) <= tolerance


# ---- the closed form alone
run = elbo("yacoby-optima", "--only", "closed-form", "--grid", 12, "--starts", 4, "--out", "closed", "--json")
found = json.loads(run.stdout)["metrics"] if run.returncode == 0 else {}
check("the closed form is found", run.returncode == 0, run.stderr)
check("the paper's 0.532 and 0.196", near(found["truth"]["loss"], 0.532, 5e-4) and near(found["optimum"]["loss"], 0.196, 5e-4))
check("every start ends there", len(found["optimum"]["losses_of_starts"]) == 4 and
      all(near(loss, found["optimum"]["loss"], 1e-6) for loss in found["optimum"]["losses_of_starts"]))
plane = found["plane"]
check("the least posterior term is where B11 alone is large", plane["b11"] == 0.0099 and plane["b22"] == 0)
check("I is neither highest nor lowest there", plane["lowest_information"] < plane["mutual_information"] < plane["highest_information"])
check("nothing is said of restarts", "restarts" not in found and not any("restart" in claim["claim"] for claim in found["claims"]))
check("the slip of Eq. 15 is the only claim that fails", ["Eq. 15" in claim["claim"] for claim in found["claims"] if not claim["holds"]] == [True])

# ---- trained ones alone, and both
options = ["--members", 3, "--points", 200, "--steps", 400, "--grid", 5, "--starts", 2]
run = elbo("yacoby-optima", *options, "--only", "trained", "--out", "trained", "--json")
found = json.loads(run.stdout)["metrics"] if run.returncode == 0 else {}
check("restarts are trained", run.returncode == 0 and len(found["restarts"]) == 3, run.stderr)
check("nothing is said of the plane", "plane" not in found and "optimum" not in found)
# 400 steps reach no optimum; L is that of the decoder, with the best q, and so below that of its own encoder.
check("a restart's L is the sum of its terms, and its encoder's is larger",
      all(near(one["loss"], one["likelihood_term"] + one["posterior_term"], 1e-9) and one["posterior_term_of_encoder"] > one["posterior_term"]
          for one in found["restarts"]))
check("the chosen one has the least loss on validation data",
      found["chosen"] == min(range(3), key=lambda m: found["restarts"][m]["validation_loss"]))
check("trainings this short are not judged", [claim["holds"] for claim in found["claims"] if "restart" in claim["claim"] or
                                              "training" in claim["claim"]] == [None, None])
run = elbo("yacoby-optima", "--resume", "trained", "--json")
both = json.loads(run.stdout)["metrics"] if run.returncode == 0 else {}
check("the closed form follows", run.returncode == 0 and both["restarts"] == found["restarts"] and "plane" in both, run.stderr)
check("with figures and models", all(os.path.exists(f"trained/figures/{name}.csv") for name in ["fig1ab", "fig1cd", "fig1ef", "case2"]) and
      os.path.exists("trained/trained/members/02.safetensors"))
# Adam's steps are of the size of the rate: these leave what a number can hold.
rejects("a learning rate at which all restarts break", "yacoby-optima", *options, "--lr", "1e30", "--out", "broken", mentions=["--lr"])

# ---- the network of Mobius
run = elbo("yacoby-mobius", "--steps", 300, "--points", 2000, "--write", "network.cpp", "--json")
fit = json.loads(run.stdout) if run.returncode == 0 else {}
check("the network is fitted", run.returncode == 0 and fit["fitted"]["root_mean_square_error"] < 0.05, run.stderr)
check("the stored one is closer, and other", fit["stored"]["root_mean_square_error"] < fit["fitted"]["root_mean_square_error"] and
      not fit["same_bits"] and len(fit["stored"]["fingerprint"]) == 64)
check("what is written names its fingerprint", fit["fitted"]["fingerprint"] in open("network.cpp").read())
rejects("a folder that is not there", "yacoby-mobius", "--steps", 2, "--points", 100, "--write", "none/network.cpp", mentions=["none/network.cpp"])

finish()
