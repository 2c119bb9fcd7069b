#!/usr/bin/env python3
"""Decoding a folder of JPEG files: elbo, building its cache, against Pillow.

usage: bench/compare_image_decoding.py ELBO_BINARY [--images N] [--rounds R] [--out FILE.json]

Makes N JPEG files of CelebA's size, 178x218, in a temporary folder: noise with the spectrum of photographs, at a
quality that gives CelebA's file size. Then, in every round: elbo on one and on two threads makes of them its cache of
64x64 images from the centred square of 148, and starts once more from that cache, whose time is taken off the first;
Pillow in one thread decodes, cuts and resizes with its box filter, without keeping the result. Reported are medians of
images per second, elbo's largest resident memory with N images and with a tenth of them, and how far the two
programs' pixels are apart. torchvision joins where it is installed. Needs NumPy and Pillow; exits with 77 without.
"""

import argparse
import glob
import json
import os
import platform
import statistics
import sys
import tempfile
import time

try:
    import numpy as np
    from PIL import Image
    from PIL import __version__ as pillow_version
except ImportError:
    print("needs NumPy and Pillow (pip install numpy pillow)", file=sys.stderr)
    sys.exit(77)

WIDTH, HEIGHT, CROP, SIZE = 178, 218, 148, 64
QUALITY = 86
HEADER_BYTES = 4096  # of elbo's cache, before the pixels


def photograph(random):
    """Smooth fields of several widths, coarse ones strongest."""
    total = np.zeros((HEIGHT, WIDTH, 3))
    for cells, strength in ((3, 60), (7, 30), (18, 16), (45, 7), (110, 2)):
        field = random.normal(size=(cells * 6 // 5, cells, 3)) * strength
        lifted = np.clip(field + 128, 0, 255).astype(np.uint8)
        total += np.asarray(Image.fromarray(lifted).resize((WIDTH, HEIGHT), Image.BICUBIC), dtype=float) - 128
    return Image.fromarray(np.clip(total + 128, 0, 255).astype(np.uint8))


def make_files(folder, count):
    random = np.random.default_rng(0)
    for i in range(count):
        photograph(random).save(f"{folder}/{i + 1:06}.jpg", quality=QUALITY)
    return sum(os.path.getsize(path) for path in glob.glob(folder + "/*.jpg")) / count


def run_elbo(elbo, folder, cache, threads):
    """Seconds and the largest resident megabytes of one start on this folder, which trains next to nothing."""
    arguments = [elbo, "train", "--model", "mlp", "--data", f"images:{folder},crop={CROP},size={SIZE},strict",
                 "--limit", "16", "--batch", "16", "--epochs", "1", "--hidden", "4", "--latent", "2", "--threads",
                 str(threads), "--device", "cpu", "--json", "--out", tempfile.mkdtemp(dir=cache) + "/run"]
    begin = time.perf_counter()
    child = os.fork()
    if child == 0:
        os.environ["ELBO_CACHE"] = cache
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        os.execv(elbo, arguments)
    _, status, usage = os.wait4(child, 0)
    if status != 0:
        sys.exit("elbo failed: " + " ".join(arguments))
    return time.perf_counter() - begin, usage.ru_maxrss / 1024


def build(elbo, folder, threads):
    """Images per second, megabytes, seconds of the second start, and the cache's pixels."""
    with tempfile.TemporaryDirectory() as cache:
        first, memory = run_elbo(elbo, folder, cache, threads)
        again, _ = run_elbo(elbo, folder, cache, threads)
        count = len(os.listdir(folder))
        pixels = np.fromfile(glob.glob(cache + "/*.images")[0], np.uint8, offset=HEADER_BYTES)
        return count / (first - again), memory, again, pixels.reshape(count, SIZE, SIZE, 3)


def box():
    left, top = (WIDTH - CROP) // 2, (HEIGHT - CROP) // 2
    return left, top, left + CROP, top + CROP


def run_pillow(paths):
    begin = time.perf_counter()
    for path in paths:
        with Image.open(path) as image:
            np.asarray(image.convert("RGB").crop(box()).resize((SIZE, SIZE), Image.BOX))
    return len(paths) / (time.perf_counter() - begin)


def run_torchvision(paths):
    """Decoding alone: it has no box filter. None where it is not installed."""
    try:
        import torch
        from torchvision.io import ImageReadMode, decode_jpeg, read_file
    except ImportError:
        return None
    torch.set_num_threads(1)
    begin = time.perf_counter()
    for path in paths:
        decode_jpeg(read_file(path), mode=ImageReadMode.RGB)
    return len(paths) / (time.perf_counter() - begin)


def differences(paths, pixels):
    """Of elbo's pixels from Pillow's decoding and a mean over areas in double: mean and largest."""
    edges = np.arange(SIZE + 1) * CROP / SIZE
    weights = np.maximum(np.minimum(edges[1:, None], np.arange(1, CROP + 1)) -
                         np.maximum(edges[:-1, None], np.arange(CROP)), 0) * SIZE / CROP
    apart = []
    for path, own in zip(paths, pixels):
        with Image.open(path) as image:
            cut = np.asarray(image.convert("RGB").crop(box()), dtype=float)
        apart.append(np.abs(np.einsum("yi,xj,ijc->yxc", weights, weights, cut, optimize=True) - own))
    return float(np.mean(apart)), float(np.max(apart))


def cpu_name():
    with open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("elbo")
    parser.add_argument("--images", type=int, default=20000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as tenth:
        mean_bytes = make_files(folder, options.images)
        paths = sorted(glob.glob(folder + "/*.jpg"))
        for path in paths[:max(options.images // 10, 1)]:
            os.link(path, tenth + "/" + os.path.basename(path))
        speeds = {"elbo, 1 thread": [], "elbo, 2 threads": [], "Pillow, 1 thread": [],
                  "torchvision, 1 thread, decoding alone": []}
        memory = again = 0
        for _ in range(options.rounds):
            for threads in (1, 2):
                name = f"elbo, {threads} thread" + ("s" if threads > 1 else "")
                speed, memory, again, pixels = build(options.elbo, folder, threads)
                speeds[name].append(speed)
            sample = paths[:4000]
            speeds["Pillow, 1 thread"].append(run_pillow(sample))
            other = run_torchvision(sample)
            if other:
                speeds["torchvision, 1 thread, decoding alone"].append(other)
        _, memory_of_tenth, _, _ = build(options.elbo, tenth, 2)
        mean, largest = differences(paths[:200], pixels)

    result = {
        "cpu": cpu_name(), "cores": os.cpu_count(), "pillow": pillow_version, "images": options.images,
        "width": WIDTH, "height": HEIGHT, "crop": CROP, "size": SIZE, "mean_file_bytes": round(mean_bytes),
        "rounds": options.rounds,
        "images_per_second": {name: round(statistics.median(all)) for name, all in speeds.items() if all},
        "images_per_second_rounds": {name: [round(one) for one in all] for name, all in speeds.items() if all},
        "seconds_of_a_start_from_the_cache": round(again, 3),
        "resident_megabytes": {"all images": round(memory), "a tenth of them": round(memory_of_tenth)},
        "pixel_difference_from_pillow": {"mean": round(mean, 3), "largest": round(largest, 2)},
    }
    text = json.dumps(result, indent=2) + "\n"
    print(text, end="")
    if options.out:
        with open(options.out, "w") as out:
            out.write(text)


if __name__ == "__main__":
    main()
