#!/usr/bin/env python3
"""Numbers that make no sense are refused by every command of Yacoby et al. and by train --method: one line that names
the option, exit status 2, and nothing written.

usage: refusals_cli_test.py ELBO_BINARY. Prints one line for each check and closes with 'N passed, N failed'.
"""

import os

from program import check, finish, rejects, work_in_a_folder_of_its_own

work_in_a_folder_of_its_own("elbo-refusals-")

NO_NUMBERS = ["nan", "inf", "-inf", "ten", "1e999"]
COUNT = [*NO_NUMBERS, -1, 0, 1.5]  # what is counted and must be there
POSITIVE = [*NO_NUMBERS, -1, 0, "1e-60"]
NOT_NEGATIVE = [*NO_NUMBERS, -0.001]
COUNT_OR_NONE = [*NO_NUMBERS, -1, 1.5]
THREE = [*COUNT, 2]  # points in two dimensions

restarts = {"--sets": COUNT, "--restarts": COUNT, "--points": THREE, "--epochs": COUNT, "--lr": POSITIVE}
samples = {"--importance-samples": COUNT}
epsilons = {"--eps-hz": NOT_NEGATIVE, "--eps-sigma": POSITIVE, "--eps-mu": POSITIVE}
seed = {"--seed": [*NO_NUMBERS, -1, 1.5]}
small = ["--sets", 1, "--restarts", 1, "--points", 10, "--epochs", 2]
train = ["train", "--model", "mlp", "--data", "digits", "--limit", 60, "--latent", 2, "--batch", 60, "--hidden", 4, "--epochs", 2]

# What runs the command in no time, were nothing refused; and of each option what it must not be.
TABLE = [
    (["yacoby-table1", "--data-sets", "linear-jtex", "--methods", "vae", *small], {**restarts, **samples, **seed, "--knn-repetitions": COUNT}),
    (["yacoby-posteriors", "--data-sets", "linear-jtex", *small], {**restarts, **samples, **epsilons, **seed}),
    (["yacoby-optima", "--grid", 3, "--starts", 1, "--points", 10, "--members", 1, "--steps", 2],
     {"--grid": [*COUNT, 1], "--starts": COUNT, "--points": [*COUNT, 1], "--members": COUNT, "--steps": COUNT, "--lr": POSITIVE, **seed}),
    (["yacoby-mobius", "--points", 100, "--batch", 10, "--steps", 2],
     {"--points": COUNT, "--batch": COUNT, "--steps": COUNT, "--lr": POSITIVE, **seed}),
    ([*train, "--method", "libi"], {**epsilons, "--libi-repetitions": COUNT, "--epochs": COUNT, "--lr": POSITIVE}),
    ([*train, "--method", "lagging"], {"--lagging-segments": COUNT_OR_NONE, "--epochs": COUNT, "--lr": POSITIVE}),
]
for command, options in TABLE:
    out = [] if command[0] == "yacoby-mobius" else ["--out", "never"]
    for option, values in options.items():
        for value in values:
            rest = list(command)
            if option in rest:
                del rest[rest.index(option):rest.index(option) + 2]
            rejects(f"{command[0]} {' '.join(command[command.index('--method'):]) if '--method' in command else ''} {option} {value}",
                    *rest, f"{option}={value}", *out, mentions=[option])
for epsilon in epsilons:
    rejects(f"a list of {epsilon} with one that is none", *train, "--method", "libi", f"{epsilon}=1,nan", "--out", "never", mentions=[epsilon])

# ---- phases that there are no steps for
for what, arguments, words in (
        ("more segments than epochs", [*train, "--method", "lagging", "--lagging-segments", 2], ["--epochs", "--lagging-segments"]),
        ("more repetitions than epochs", [*train, "--method", "libi", "--libi-repetitions", 2], ["--epochs", "--libi-repetitions"]),
        ("more segments than steps", ["yacoby-table1", "--data-sets", "linear-jtex", "--settings", "lagging-40", *small], ["--epochs", "40"]),
        ("more repetitions than steps", ["yacoby-table1", "--data-sets", "linear-jtex", "--settings", "libi-1-0.5-0.5-6", *small], ["--epochs", "12"]),
        ("LiBI in one step", ["yacoby-posteriors", "--data-sets", "linear-jtex", *small[:-1], 1], ["--epochs"])):
    rejects(what, *arguments, "--out", "never", mentions=words)
check("and nothing is written", not os.path.exists("never") and not os.path.exists("runs"))

finish()
