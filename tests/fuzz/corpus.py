#!/usr/bin/env python3
"""Small files for a fuzzer to begin with: python3 corpus.py npy|idx|image|safetensors|toml FOLDER"""
import gzip
import json
import os
import struct
import sys
import zlib


def npy(descr, shape, data, fortran=False, version=1):
    header = f"{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(header)) + header + data


def idx(shape, data):
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + data


def safetensors(header, data):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width, height, depth, colour, interlaced=0):
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    row = b"\x00" + bytes(range(1, (width * depth * channels + 7) // 8 + 1))
    palette = chunk(b"PLTE", bytes(range(48))) if colour == 3 else b""
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)) + palette +
            chunk(b"IDAT", zlib.compress(row * height)) + chunk(b"IEND", b""))


def jpeg(components):
    """A picture of 8 by 8 pixels, all grey: its one Huffman code, a zero bit, says "no difference" and "end of block"."""
    def segment(code, data):
        return b"\xff" + bytes([code]) + struct.pack(">H", len(data) + 2) + data
    ids = range(1, components + 1)
    frame = b"\x08" + struct.pack(">HHB", 8, 8, components) + b"".join(bytes([i, 0x11, 0]) for i in ids)
    table = bytes([1] + [0] * 15 + [0])
    scan = bytes([components]) + b"".join(bytes([i, 0]) for i in ids) + b"\x00\x3f\x00"
    return (b"\xff\xd8" + segment(0xdb, b"\x00" + bytes([1] * 64)) + segment(0xc0, frame) + segment(0xc4, b"\x00" + table) +
            segment(0xc4, b"\x10" + table) + segment(0xda, scan) + bytes([0xff >> 2 * components]) + b"\xff\xd9")


CORPUS = {
    "npy": lambda: [npy("<f4", "(2, 3)", bytes(24)), npy("|u1", "(4,)", b"abcd"), npy("|b1", "()", b"\x01"), npy("<i2", "(0, 7)", b""),
                    npy("<u8", "(1,)", b"\xff" * 8), npy("<f8", "(2, 2)", bytes(32), True), npy("<i4", "(2, 3, 1)", bytes(24), version=2),
                    gzip.compress(npy("<f4", "(2, 3)", bytes(24)))],
    "idx": lambda: [idx([3], b"abc"), idx([2, 2, 3], bytes(12)), gzip.compress(idx([2, 2], b"abcd")),
                    gzip.compress(idx([3], b"ab")) + gzip.compress(b"c")],
    "safetensors": lambda: [
        safetensors({"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}, bytes(24)),
        safetensors({"__metadata__": {"card": "{}", "ä": "µ"}, "x": {"dtype": "I64", "shape": [], "data_offsets": [0, 8]},
                     "y": {"dtype": "U8", "shape": [3], "data_offsets": [8, 11]}}, bytes(11)),
        safetensors({"h": {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]},
                     "b": {"dtype": "BF16", "shape": [1, 0], "data_offsets": [4, 4]}}, b"\x01\x02\x03\x7c")],
    "image": lambda: [png(3, 2, 8, 2), png(5, 4, 1, 0), png(4, 4, 4, 3), png(3, 3, 16, 6), png(1, 1, 8, 4, 1), jpeg(1), jpeg(3)],
    "toml": lambda: [b'a = 0[["b\xc3\xa9"', b'a = {b = [\'\xc3\xa9\']}\n"\xc3\xa9" = 1\n', b'[train]\nlr = [1e-3, 3e-3]\ndata = "mnist"\nepochs = 20\nlearn-sigma2 = false\n', b"[sample]\ndata = 'x'\n\n[train]\nepochs = 1\n",
                     b'train.epochs = 0x1F # a comment\n', b'[train]\n"a\\u000Ab" = 1979-05-27T07:32:00Z\n', b'[[train]]\nx = {y = [[1], [2.5]]}\n',
                     b'[train]\nlr = [inf, -nan, 1_000.5e+3]\nepochs = "3"\n', b'[train]\ndata = """a\n\\\n  b"""\n',
                     '[train]\né = "é"\n'.encode(), '[train]\ndata = """a\\\n  §"""\n'.encode()],
}

name, folder = sys.argv[1:]
os.makedirs(folder, exist_ok=True)
for i, data in enumerate(CORPUS[name]()):
    with open(os.path.join(folder, f"made-{i}"), "wb") as file:
        file.write(data)
