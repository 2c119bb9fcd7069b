#!/usr/bin/env python3
"""Model files and what they know of their data: cards, files that lost theirs, data that do not fit, saved experiments.

usage: model_card_cli_test.py ELBO_BINARY. Prints one line for each check and closes with 'N passed, N failed'.
"""

import json
import os
import random
import shutil
import struct

from program import check, elbo, finish, rejects, work_in_a_folder_of_its_own, write

work_in_a_folder_of_its_own("elbo-card-")
random.seed(5)
pictures = ("sample", "reconstruct", "traverse", "interpolate")


def read(path):
    with open(path, "rb") as file:
        return file.read()


def write_npy(path, kind, shape, data):
    header = str({"descr": kind, "fortran_order": False, "shape": shape}).encode()
    return write(path, b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header + b"\n" + data)


def write_pixels(path, *shape, most=255):
    count = 1
    for side in shape:
        count *= side
    return write_npy(path, "|u1", shape, bytes(random.randrange(most + 1) for _ in range(count)))


def write_values(path, points, dimensions, low, high):
    count = points * dimensions
    return write_npy(path, "<f4", (points, dimensions), struct.pack(f"<{count}f", *(random.uniform(low, high) for _ in range(count))))


def header_of(path):
    data = read(path)
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def card_of(path):
    return json.loads(header_of(path)[0]["__metadata__"]["card"])


def saved_again(path, to, change):
    """The same tensors with other metadata: what `change` leaves of them; none at all when it leaves nothing."""
    header, body = header_of(path)
    metadata = header.pop("__metadata__")
    change(metadata)
    text = json.dumps({**({"__metadata__": metadata} if metadata else {}), **header}).encode()
    return write(to, struct.pack("<Q", len(text)) + text + body)


def with_card(path, to, change):
    def edit(metadata):
        card = json.loads(metadata["card"])
        change(card)
        metadata["card"] = json.dumps(card)
    return saved_again(path, to, edit)


def metrics(*arguments):
    run = elbo("evaluate", *arguments, "--importance-samples", 0, "--threads", 1, "--json")
    return json.loads(run.stdout)["metrics"] if run.returncode == 0 else {"elbo": float("nan"), "error": run.stderr}


def same(a, b, within=1e-9):
    return abs(a["elbo"] - b["elbo"]) <= within * abs(b["elbo"])


def same_member(a, b):
    """Batched products may round otherwise than those of a model alone."""
    return same(a, b, 1e-5)


# ---- models of every kind, trained with a seed, a limit and data of their own
write_pixels("pixels.npy", 60, 28, 28, 1)
write_pixels("other.npy", 80, 28, 28, 1)
write_pixels("wide.npy", 40, 14, 56, 1)
write_pixels("colour.npy", 60, 32, 32, 3)
write_pixels("flat.npy", 40, 784)
write_pixels("small.npy", 40, 6)
write_pixels("ones.npy", 40, 28, 28, 1, most=1)
write_values("values.npy", 60, 6, -2, 2)
write_values("many.npy", 40, 784, -2, 2)
few = ["--threads", 1, "--epochs", 2, "--latent", 2, "--seed", 3, "--batch", 16, "--json"]
dense = ["--model", "mlp", "--hidden", "8"]
trained = {
    "logit": [*dense, "--data", "npy:pixels.npy", "--limit", 50],
    "bernoulli": [*dense, "--activation", "tanh", "--encoder-activation", "softplus", "--likelihood", "bernoulli", "--data", "npy:pixels.npy"],
    "diagonal": [*dense, "--likelihood", "diagonal", "--data", "npy:values.npy"],
    "conv": ["--model", "conv", "--channels", 2, "--data", "npy:colour.npy"],
    "asperti": ["--model", "conv", "--network", "asperti", "--channels", 4, "--data", "npy:pixels.npy"],
    "linear": ["--data", "npy:pixels.npy", "--preprocess", "logit", "--alpha", 0.1],
    "linear-values": ["--data", "npy:values.npy"],
    "standardized": [*dense, "--data", "npy:values.npy", "--standardize"],
    "linear-standardized": ["--data", "npy:pixels.npy", "--standardize"],
    "binary": [*dense, "--likelihood", "bernoulli", "--data", "npy:ones.npy"],
}
found = {}
for name, options in trained.items():
    run = elbo("train", *options, *few, "--out", name)
    check(f"trains {name}", run.returncode == 0, run.stderr)
    found[name] = json.loads(run.stdout)["metrics"]
    again, alone = metrics(name), metrics(f"{name}/model.safetensors")
    check("evaluated, the run and its file by itself have the ELBO of training", same(again, found[name]) and same(alone, found[name]),
          f"{found[name]['elbo']} {again} {alone}")

# ---- the card
card = card_of("logit/model.safetensors")
provenance = json.load(open("logit/result.json"))["provenance"]
check("a card says what the model was trained on", card["version"] == provenance["version"] and card["member"] == 0 and card["data"] == {
    "name": card["data"]["name"], "limit": 50, "subset": 0, "seed": 3, "points": 50, "dimensions": 784, "height": 28, "width": 28,
    "channels": 1, "pixels": True, "binary": False, "fingerprint": provenance["data"]["fingerprint"]} and card["data"]["name"].endswith("pixels.npy"), card)
check("and how the data were preprocessed", card["preprocessing"]["kind"] == "logit" and card["preprocessing"]["alpha"] == 1e-6 and
      card_of("conv/model.safetensors")["preprocessing"]["alpha"] == 0.05 and card_of("linear/model.safetensors")["preprocessing"]["alpha"] == 0.1)
told = json.loads(elbo("evaluate", "logit", "--json").stdout)["config"]
check("evaluate says which data, preprocessing and seed it took", (told["limit"], told["seed"], told["preprocess"], told["alpha"]) ==
      (50, 3, "logit", 1e-6) and told["model_card"] == card, told)
check("and in words whether the model knows the data", "which it was trained on" in elbo("evaluate", "logit").stdout and
      "which it was not trained on" in elbo("evaluate", "logit", "--data", "npy:other.npy").stdout)
check("points of its own set that are cut in another way are not called unknown to it", all(
    "trained on points of the same set" in elbo("evaluate", "logit", "--data", "npy:pixels.npy", *how).stdout
    for how in (["--test", 0.3, "--split", "test"], ["--limit", 20])))
told = json.loads(elbo("evaluate", "logit", "--data", "npy:other.npy", "--json").stdout)
check("other data are not cut to the run's limit", told["config"]["limit"] == 0 and told["provenance"]["data"]["N"] == 80, told["config"])

moved = card_of("standardized/model.safetensors")["preprocessing"]
check("standardising is part of the card, and comes from there for other data", len(moved["mean"]) == len(moved["scale"]) == 6 and
      json.loads(elbo("evaluate", "standardized", "--limit", 20, "--json").stdout)["config"]["standardize"] is True)

# ---- pictures, without the data where they are not needed
for name in ("logit", "conv", "linear", "linear-standardized", "binary"):
    for command in pictures:
        run = elbo(command, name, "--threads", 1, "--out", f"drawn-{name}")
        check(f"{command} draws from {name}", run.returncode == 0, run.stderr)
for name in ("logit", "conv"):
    elbo("sample", name, "--count", 50, "--threads", 1, "--out", f"fifty-{name}")
check("samples are those of the run's own report", read("fifty-logit/samples.png") == read("logit/figures/samples.png") and
      read("fifty-conv/samples.png") == read("conv/figures/samples.png"))
os.rename("pixels.npy", "away.npy")
for name in ("logit", "logit/model.safetensors", "linear"):
    out = f"without-{name[:5]}"
    run = elbo("sample", name, "--threads", 1, "--out", out)
    check(f"sample {name} needs no data", run.returncode == 0 and read(f"{out}/samples.png") == read(f"drawn-{name.split('/')[0]}/samples.png"),
          run.stderr)
    rejects("what needs the data and does not find them", "reconstruct", name, mentions=["pixels.npy"])
rejects("drawing what is no image", "sample", "diagonal", mentions=["not images"])
write_pixels("pixels.npy", 60, 28, 28, 1)
run = elbo("evaluate", "logit", "--importance-samples", 0)
check("data that have changed are noticed", run.returncode == 0 and "has changed since" in run.stderr and "not trained on" in run.stdout, run.stderr)
os.rename("away.npy", "pixels.npy")
run = elbo("evaluate", "logit", "--importance-samples", 0)
check("and those that have not cause no remark", run.returncode == 0 and not run.stderr, run.stderr)

# ---- files that other software saved again, and files of an earlier elbo
facts = {
    "logit": {"--likelihood": "gaussian", "--activation": "relu", "--encoder-activation": "relu", "--preprocess": "logit"},
    "bernoulli": {"--likelihood": "bernoulli", "--activation": "tanh", "--encoder-activation": "softplus", "--preprocess": "scale"},
    "diagonal": {"--likelihood": "diagonal", "--activation": "relu", "--encoder-activation": "relu", "--preprocess": "none"},
    "conv": {"--likelihood": "gaussian", "--network": "higgins", "--channels": 2, "--preprocess": "logit"},
    "asperti": {"--likelihood": "gaussian", "--network": "asperti", "--channels": 4, "--preprocess": "logit"},
    "linear": {"--preprocess": "logit"},
    "linear-values": {"--preprocess": "none"},
}


def words(options):
    return [word for option, value in options.items() for word in (option, value)]


for name, needed in facts.items():
    bare = saved_again(f"{name}/model.safetensors", f"{name}-bare.safetensors", lambda metadata: metadata.clear())
    old = saved_again(f"{name}/model.safetensors", f"{name}-old.safetensors", lambda metadata: metadata.pop("card"))
    for command in ("evaluate", *pictures):
        rejects(f"{command} of {name} without metadata, naming what is missing", command, bare, mentions=["card", "--data", *needed])
    rejects(f"{name} without a card", "evaluate", old, mentions=["card", "--data", "--preprocess"])
    check("and does not ask for what the file says", "--likelihood" not in elbo("evaluate", old).stderr)
    data = [word for option, word in zip(trained[name], trained[name][1:] + [""]) if option in ("--data", "--limit", "--alpha")
            for word in (option, word)]
    for left_out in needed:
        rest = {option: value for option, value in needed.items() if option != left_out and option != "--activation"}
        rejects(f"{name} with all but {left_out}", "evaluate", bare, *data, *words(rest), mentions=[left_out])
    told = metrics(bare, *data, "--seed", 3, *words(needed))
    check(f"{name} with all of them is what it was", same(told, found[name]), f"{told} {found[name]['elbo']}")
    told = metrics(old, *data, "--seed", 3, "--preprocess", needed["--preprocess"])
    check("and so without a card", same(told, found[name]), f"{told} {found[name]['elbo']}")
run = elbo("sample", "logit-bare.safetensors", *words(facts["logit"]), "--data", "npy:pixels.npy", "--seed", 3, "--count", 50, "--out", "bare")
check("it draws, too", run.returncode == 0 and read("bare/samples.png") == read("logit/figures/samples.png"), run.stderr)
for what, options, word in (("another likelihood than the file's", ["--likelihood", "bernoulli"], "gaussian"),
                            ("another activation", ["--activation", "tanh"], "relu"), ("a network of a dense model", ["--network", "higgins"], "dense")):
    rejects(what, "evaluate", "logit", *options, mentions=[options[0], word])
rejects("an activation of a convolutional model", "evaluate", "conv", "--activation", "relu", mentions=["--activation", "convolutional"])
rejects("a likelihood of a linear model", "evaluate", "linear", "--likelihood", "gaussian", mentions=["--likelihood", "linear"])
rejects("a model that is none", "evaluate", saved_again("logit/checkpoint/state.safetensors", "state.safetensors", lambda metadata: None), mentions=["card"])

# ---- what the user names comes first
told = json.loads(elbo("evaluate", "linear", "--preprocess", "scale", "--seed", 7, "--json").stdout)
check("preprocessing and seed are the user's where named", told["config"]["preprocess"] == "scale" and told["config"]["seed"] == 7 and
      told["provenance"]["data"]["preprocessing"] == "scale" and told["metrics"]["elbo"] != found["linear"]["elbo"])
told = json.loads(elbo("evaluate", "linear", "--preprocess", "logit", "--json").stdout)
check("alpha is the model's as long as the kind is", told["config"]["alpha"] == 0.1 and same(told["metrics"], found["linear"]))
check("and the user's where named", json.loads(elbo("evaluate", "linear", "--alpha", 0.2, "--json").stdout)["config"]["alpha"] == 0.2)

# ---- damaged cards
for what, change in {
        "no version": lambda c: c.pop("version"), "no data": lambda c: c.pop("data"), "no preprocessing": lambda c: c.pop("preprocessing"),
        "data that are a text": lambda c: c.update(data="mnist"), "points as text": lambda c: c["data"].update(points="many"),
        "half a point": lambda c: c["data"].update(points=1.5), "negative sizes": lambda c: c["data"].update(height=-28, width=-28),
        "a size beyond all": lambda c: c["data"].update(height=2**63), "a seed below zero": lambda c: c["data"].update(seed=-1),
        "a size that contradicts the dimensions": lambda c: c["data"].update(height=27),
        "no channels": lambda c: c["data"].update(channels=0), "pixels that are a number": lambda c: c["data"].update(pixels=1),
        "an unknown kind": lambda c: c["preprocessing"].update(kind="whiten"), "no alpha": lambda c: c["preprocessing"].pop("alpha"),
        "an alpha of 0.7": lambda c: c["preprocessing"].update(alpha=0.7), "an alpha of null": lambda c: c["preprocessing"].update(alpha=None),
        "logit of what were no pixels": lambda c: c["data"].update(pixels=False),
        "a scale of one dimension": lambda c: c["preprocessing"].update(mean=[0], scale=[1]),
        "a scale without a mean": lambda c: c["preprocessing"].update(scale=[1] * 784),
        "a split without a seed": lambda c: c["data"].update(split={"name": "train", "validation": 0.1, "test": 0, "of": ""}),
        "a split for test": lambda c: c["data"].update(split={"name": "test", "validation": 0.1, "test": 0, "seed": 0, "of": ""}),
        "a share below zero": lambda c: c["data"].update(split={"name": "train", "validation": -0.1, "test": 0, "seed": 0, "of": ""}),
        "a share as text": lambda c: c["data"].update(split={"name": "train", "validation": 0.1, "test": "few", "seed": 0, "of": ""}),
        "a split that is a number": lambda c: c["data"].update(split=0.1),
        "a scale of zero": lambda c: c["preprocessing"].update(mean=[0] * 784, scale=[0] * 784)}.items():
    rejects(f"a card with {what}", "sample", with_card("logit/model.safetensors", "damaged.safetensors", change), mentions=["card", "damaged.safetensors"])
for text in ("", "{", "[]", "null", "3", '"card"', "[" * 5000):
    damaged = saved_again("logit/model.safetensors", "damaged.safetensors", lambda metadata: metadata.update(card=text))
    rejects(f"a card that is {text[:9]!r}", "evaluate", damaged, mentions=["card"])
other = with_card("logit/model.safetensors", "damaged.safetensors", lambda c: c["data"].update(dimensions=6, height=0, width=0, channels=0))
rejects("a card of other dimensions than the model's", "sample", other, mentions=["784", "6"])

# ---- data that do not fit
for command in ("evaluate", "reconstruct", "traverse", "interpolate"):
    rejects(f"{command}: a Bernoulli model on logits", command, "bernoulli", "--preprocess", "logit", mentions=["bernoulli", "between 0 and 1"])
    rejects(f"{command}: a Bernoulli model on values outside 0..1", command, "bernoulli", "--data", "npy:many.npy", "--preprocess", "none",
            mentions=["bernoulli", "between 0 and 1"])
    for model in ("logit", "conv", "linear"):
        rejects(f"{command}: points of other dimensions for {model}", command, model, "--data", "npy:small.npy", mentions=["small.npy"])
    rejects(f"{command}: images of another shape", command, "asperti", "--data", "npy:wide.npy", mentions=["28 x 28", "14 x 56"])
    rejects(f"{command}: points that are no images", command, "asperti", "--data", "npy:flat.npy", mentions=["images"])
    rejects(f"{command}: values for a model of pixels", command, "logit", "--data", "npy:many.npy", mentions=["--preprocess", "pixels"])
    rejects(f"{command}: pixels 0..255 for a model of 0 and 1", command, "binary", "--data", "npy:pixels.npy", mentions=["--preprocess", "0 and 1"])
    rejects(f"{command}: pixels for a model of values", command, "diagonal", "--data", "npy:small.npy", mentions=["--preprocess", "pixels"])
rejects("train: Bernoulli on values outside 0..1", "train", *dense, "--data", "npy:values.npy", "--likelihood", "bernoulli", "--out", "never",
        mentions=["bernoulli", "between 0 and 1"])
check("values that the user says are as they should be are taken", "error" not in metrics("logit", "--data", "npy:many.npy", "--preprocess", "none"))
check("bytes of 0 and 1 fit a Bernoulli model as they are", "error" not in metrics("bernoulli", "--data", "npy:ones.npy", "--preprocess", "none"))

# ---- experiments keep their models
on_pixels = ["--data", "npy:pixels.npy", "--latent", 2, "--epochs", 1, "--threads", 1]
run = elbo("collapse", *on_pixels, "--hidden", 8, "--sigma2", "10,1", "--lr", 0.001, "--members", 1, "--out", "collapse")
saved = json.load(open("collapse/lr-0.001-trial-0/members/members.json")) if run.returncode == 0 else {}
check("collapse saves every model and says what each is", [m["setting"][:5] for m in saved.get("members", [])] == ["σ²\u00a0=\u00a0"] * 4, run.stderr)
best = max(saved["members"], key=lambda m: m["elbo"])
check("evaluate takes its best", best["member"] == saved["best"] and same_member(metrics("collapse"), best), best)
check("and any other", all(same_member(metrics("collapse", "--member", m["member"]), m) for m in saved["members"]))
rejects("a member that is not there", "evaluate", "collapse", "--member", 4, mentions=["--member", "4"])
for command in pictures:
    run = elbo(command, "collapse", "--member", 1)
    check(f"{command} draws from a member", run.returncode == 0, run.stderr)
run = elbo("encoders", *on_pixels, "--lr", "0.001,0.003", "--out", "encoders")
rejects("a run whose models lie in folders", "evaluate", "encoders", mentions=["encoders/linear", "encoders/two-hidden"])
for folder, expected in zip(("linear", "deep-linear", "one-hidden", "two-hidden"), json.load(open("encoders/result.json"))["metrics"]["encoders"]):
    check(f"encoders/{folder} opens as a run", same_member(metrics(f"encoders/{folder}"), expected))
check("and draws", elbo("reconstruct", "encoders/linear", "--member", 0).returncode == 0)
run = elbo("ppca-elbo", "--data", "npy:pixels.npy", "--subset", 0, "--latent", "1,3", "--frozen-at", 2, "--steps", 40, "--out", "ppca")
rows = json.load(open("ppca/result.json"))["metrics"]["rows"] if run.returncode == 0 else []
check("ppca-elbo saves its models", len(rows) == 2 and all(same(metrics(f"ppca/k-{row['latent']}"), row) for row in rows), run.stderr)
run = elbo("stochastic-elbo", "--data", "npy:pixels.npy", "--subset", 0, "--latent", 2, "--steps", 40, "--lr", "0.001,0.003", "--out", "stochastic")
rows = json.load(open("stochastic/result.json"))["metrics"]["rows"] if run.returncode == 0 else []
check("stochastic-elbo saves its models", len(rows) == 4 and all(same(metrics(f"stochastic/{row['gradient']}", "--member", i % 2), row) for i, row in enumerate(rows)),
      run.stderr)
shutil.copytree("collapse", "empty", ignore=lambda folder, names: ["members"] if folder.endswith("trial-0") else [])
rejects("a run without models", "evaluate", "empty", mentions=["no trained model"])
rejects("a member of a file", "evaluate", "logit/model.safetensors", "--member", 2, mentions=["--member"])

# ---- who a model knows, and what its options do to its numbers
numbers = [random.gauss(0, 2) for _ in range(120)]
write_npy("own.npy", "<f8", (40, 3), struct.pack("<120d", *numbers))
small = ["--model", "mlp", "--latent", 1, "--hidden", "4", "--epochs", 1, "--threads", 1]
run = elbo("train", "--data", "npy:own.npy", *small, "--out", "own")
os.symlink("own.npy", "link.npy")
os.makedirs("folder", exist_ok=True)
for path in ("./own.npy", "folder/../own.npy", "link.npy", os.path.abspath("own.npy")):
    for how in ([], ["--seed", 7]):
        said = elbo("evaluate", "own", "--data", f"npy:{path}", "--limit", 30, *how).stdout
        check(f"{path} is the file that the model was trained on{' with another seed' if how else ''}", "trained on points of the same set" in said, said[:300])
elbo("train", "--data", "npy:own.npy", "--subset", 30, *small, "--out", "part")
said = elbo("evaluate", "part", "--seed", 5).stdout
check("of another part of its data nothing is said", "which it was not trained on" not in said and "(30 points" in said, said[:300])
write_npy("of-all.npy", "<i8", (40, 2), struct.pack("<80q", *(int(number > 0) + i % 2 for i, number in enumerate(numbers[:80]))))
write_npy("levels.npy", "<i8", (40, 1), struct.pack("<40q", *(int(numbers[3 * i] > 0) for i in range(40))))
whole = json.loads(elbo("evaluate", "own", "--factors", "levels.npy", "--json").stdout)["metrics"]["mig"]
shuffled = json.loads(elbo("evaluate", "own", "--data", "npy:own.npy", "--subset", 40, "--factors", "levels.npy", "--json").stdout)["metrics"]["mig"]
check("factors go with the rows that were drawn", abs(whole - shuffled) < 1e-9, (whole, shuffled))
check("and are those of the whole file", elbo("evaluate", "part", "--factors", "of-all.npy").returncode == 0 and
      elbo("evaluate", "own", "--limit", 20, "--factors", "of-all.npy").returncode == 0)
write_npy("few.npy", "<i8", (30, 2), bytes(480))
rejects("factors of some of them", "evaluate", "part", "--factors", "few.npy", mentions=["--factors", "at least"])

bytes_of = [random.randrange(1, 256) for _ in range(120)]
write_npy("levels-u1.npy", "|u1", (40, 3), bytes(bytes_of))
write_npy("levels-f8.npy", "<f8", (40, 3), struct.pack("<120d", *(value / 255 for value in bytes_of)))
elbo("train", "--data", "npy:levels-f8.npy", "--standardize", *small, "--out", "standard")
standardized = metrics("standard")["elbo"]
run = elbo("evaluate", "standard", "--data", "npy:levels-u1.npy", "--preprocess", "scale", "--json")
found = json.loads(run.stdout)["metrics"]["elbo"] if run.returncode == 0 else None
check("the same numbers preprocessed in another way are standardized as the model's own", found is not None and abs(found - standardized) < 1e-4 and
      "standardized by the mean and scale" in run.stderr, (found, standardized, run.stderr))
rejects("data of other dimensions for a standardized model", "evaluate", "standard", "--data", "npy:pixels.npy", "--preprocess", "scale",
        mentions=["for 3 dimensions"])
rejects("pixels for a model of numbers", "evaluate", "standard", "--data", "npy:levels-u1.npy", mentions=["--preprocess scale"])
rejects("a split that was never cut", "evaluate", "own", "--split", "validation", mentions=["--split", "without validation", "--data"])
for command in (["evaluate", "own"], ["encode", "own"], ["ppca", "--data", "npy:own.npy", "--latent", 1],
                ["train", "--data", "npy:own.npy", *small, "--out", "never"]):
    rejects(f"{command[0]} with an alpha that nothing is done with", *command, "--alpha", 0.2, mentions=["--alpha", "none"])

finish()
