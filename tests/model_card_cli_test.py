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


def same(a, b):
    return abs(a["elbo"] - b["elbo"]) <= 1e-9 * abs(b["elbo"])


# ---- models of every kind, trained with a seed, a limit and data of their own
write_pixels("pixels.npy", 60, 28, 28, 1)
write_pixels("other.npy", 80, 28, 28, 1)
write_pixels("wide.npy", 40, 14, 56, 1)
write_pixels("colour.npy", 60, 32, 32, 3)
write_pixels("flat.npy", 40, 784)
write_pixels("small.npy", 40, 6)
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
check("a card says what the model was trained on", card["version"] == provenance["version"] and card["data"] == {
    "name": card["data"]["name"], "limit": 50, "subset": 0, "seed": 3, "points": 50, "dimensions": 784, "height": 28, "width": 28,
    "channels": 1, "pixels": True, "fingerprint": provenance["data"]["fingerprint"]} and card["data"]["name"].endswith("pixels.npy"), card)
check("and how the data were preprocessed", card["preprocessing"]["kind"] == "logit" and card["preprocessing"]["alpha"] == 1e-6 and
      card_of("conv/model.safetensors")["preprocessing"]["alpha"] == 0.05 and card_of("linear/model.safetensors")["preprocessing"]["alpha"] == 0.1)
told = json.loads(elbo("evaluate", "logit", "--json").stdout)["config"]
check("evaluate says which data, preprocessing and seed it took", (told["limit"], told["seed"], told["preprocess"], told["alpha"]) ==
      (50, 3, "logit", 1e-6) and told["model_card"] == card, told)
check("and in words whether the model knows the data", "which it was trained on" in elbo("evaluate", "logit").stdout and
      "which it was not trained on" in elbo("evaluate", "logit", "--data", "npy:other.npy").stdout)
told = json.loads(elbo("evaluate", "logit", "--data", "npy:other.npy", "--json").stdout)
check("other data are not cut to the run's limit", told["config"]["limit"] == 0 and told["provenance"]["data"]["N"] == 80, told["config"])

# ---- pictures, without the data where they are not needed
for name in ("logit", "conv", "linear"):
    for command in pictures:
        run = elbo(command, name, "--threads", 1, "--out", f"drawn-{name}")
        check(f"{command} draws from {name}", run.returncode == 0, run.stderr)
check("samples are those of the run's own report", read("drawn-logit/samples.png") == read("logit/figures/samples.png") and
      read("drawn-conv/samples.png") == read("conv/figures/samples.png"))
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
for name, needed in facts.items():
    bare = saved_again(f"{name}/model.safetensors", f"{name}-bare.safetensors", lambda metadata: metadata.clear())
    old = saved_again(f"{name}/model.safetensors", f"{name}-old.safetensors", lambda metadata: metadata.pop("card"))
    for command in ("evaluate", *pictures):
        rejects(f"{command} of {name} without metadata", command, bare, mentions=["card", "--data", *needed])
    rejects(f"{name} without a card", "evaluate", old, mentions=["card", "--data", "--preprocess"])
    check("and does not ask for what the file says", "--likelihood" not in elbo("evaluate", old).stderr)
    data = [option for i, option in enumerate(trained[name]) if "--data" in trained[name][max(i - 1, 0) : i + 1] or
            {"--limit", "--alpha"} & set(map(str, trained[name][max(i - 1, 0) : i + 1]))]
    for missing in needed:
        rejects(f"{name} without {missing}", "evaluate", bare, *data, "--seed", 3, mentions=[missing],
                *[word for option, value in needed.items() if option != missing for word in (option, value)]) if False else None
    supplied = [word for option, value in needed.items() for word in (option, value)]
    told = metrics(bare, *data, "--seed", 3, *supplied)
    check(f"{name} with all of them is what it was", same(told, found[name]), f"{told} {found[name]['elbo']}")
    told = metrics(old, *data, "--seed", 3, "--preprocess", needed["--preprocess"])
    check("and so without a card", same(told, found[name]), f"{told} {found[name]['elbo']}")

finish()
