"""safetensors files, for the scripts that read elbo's models or write some."""

import json
import struct

import numpy as np

KINDS = {"F32": "<f4", "F64": "<f8"}


def read_safetensors(path):
    """The tensors of a file by name, and its metadata."""
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        body = file.read()
    metadata = header.pop("__metadata__", {})
    return {name: np.frombuffer(body[slice(*entry["data_offsets"])], KINDS[entry["dtype"]]).reshape(entry["shape"])
            for name, entry in header.items()}, metadata


def weights_of(path):
    """The tensors of a file by name, in float64."""
    return {name: value.astype(float) for name, value in read_safetensors(path)[0].items()}


def write_safetensors(path, tensors, metadata):
    header, body = {"__metadata__": metadata}, b""
    for name, value in tensors.items():
        value = np.ascontiguousarray(value)
        code = next(code for code, kind in KINDS.items() if value.dtype == np.dtype(kind))
        header[name] = {"dtype": code, "shape": list(value.shape), "data_offsets": [len(body), len(body) + value.nbytes]}
        body += value.tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + body)
