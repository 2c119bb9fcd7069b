#!/usr/bin/env python3
"""Decoding a folder of JPEG files: elbo, building its cache, against Pillow.

usage: bench/compare_image_decoding.py ELBO_BINARY [--images N] [--rounds R] [--out FILE.json]

Makes N JPEG files of CelebA's size, 178x218, in a temporary folder: noise with the spectrum of photographs, at a
quality that gives CelebA's file size. Then, in every round: elbo on one and on two threads makes of them its cache of
64x64 images from the centred square of 148, and starts once more from that cache, whose time is taken off the first;
Pillow in one thread decodes, cuts and resizes with its box filter, without keeping the result. Reported are images per
second, and per second of processor time, which other work on the machine disturbs less; elbo's largest resident memory
with N images and with a tenth of them; and how far the two programs' pixels are apart. torchvision joins where it is
installed. Needs NumPy and Pillow; exits with 77 without.
"""

import argparse
import glob
import json
import os
import platform
import resource
import statistics
import subprocess
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


def scene(random):
    """Smooth fields of several widths, coarse ones strongest."""
    total = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    for cells, strength in ((3, 60), (7, 30), (18, 16), (45, 7), (110, 2)):
        field = random.normal(size=(cells * 6 // 5, cells, 3)) * strength
        lifted = np.clip(field + 128, 0, 255).astype(np.uint8)
        total += np.asarray(Image.fromarray(lifted).resize((WIDTH, HEIGHT), Image.BICUBIC), np.float32) - 128
    return total


def make_files(folder, count):
    """Two scenes over each other make a picture. Returns the mean size of a file."""
    random = np.random.default_rng(0)
    scenes = [scene(random) for _ in range(64)]
    size = 0
    for i in range(count):
        one, other = random.integers(len(scenes), size=2)
        shift = random.integers(HEIGHT)
        mixed = 128 + 0.7 * scenes[one] + 0.7 * np.roll(scenes[other][:, ::-1], shift, axis=0)
        path = f"{folder}/{i + 1:06}.jpg"
        Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8)).save(path, quality=QUALITY)
        size += os.path.getsize(path)
    return size / count


def run_elbo(elbo, folder, cache, threads):
    """Seconds, seconds of processor time and the largest resident megabytes of one start that trains next to nothing."""
    arguments = [elbo, "train", "--model", "mlp", "--data", f"images:{folder},crop={CROP},size={SIZE},strict",
                 "--limit", "16", "--batch", "16", "--epochs", "1", "--hidden", "4", "--latent", "2", "--threads",
                 str(threads), "--device", "cpu", "--json", "--out", tempfile.mkdtemp(dir=cache) + "/run"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    child = subprocess.Popen(arguments, env=dict(os.environ, ELBO_CACHE=cache), stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    memory = 0
    while child.poll() is None:  # its rusage would count what this process held when it started it
        try:
            with open(f"/proc/{child.pid}/status") as status:
                memory = max([memory] + [int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM")])
        except OSError:
            pass
        time.sleep(0.005)
    seconds = time.perf_counter() - begin
    if child.returncode != 0:
        sys.exit("elbo failed: " + " ".join(arguments))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, memory


def build(elbo, folder, threads):
    """Images per second and per second of processor time, megabytes, seconds of the second start, pixels."""
    with tempfile.TemporaryDirectory() as cache:
        first, first_cpu, memory = run_elbo(elbo, folder, cache, threads)
        again, again_cpu, _ = run_elbo(elbo, folder, cache, threads)
        count = len(os.listdir(folder))
        pixels = np.fromfile(glob.glob(cache + "/*.images")[0], np.uint8, offset=HEADER_BYTES)
        speeds = count / (first - again), count / (first_cpu - again_cpu)
        return speeds, memory, again, pixels.reshape(count, SIZE, SIZE, 3)


def box():
    left, top = (WIDTH - CROP) // 2, (HEIGHT - CROP) // 2
    return left, top, left + CROP, top + CROP


def run_pillow(paths):
    begin, begin_cpu = time.perf_counter(), time.process_time()
    for path in paths:
        with Image.open(path) as image:
            np.asarray(image.convert("RGB").crop(box()).resize((SIZE, SIZE), Image.BOX))
    return len(paths) / (time.perf_counter() - begin), len(paths) / (time.process_time() - begin_cpu)


def run_torchvision(paths):
    """Decoding alone: it has no box filter. None where it is not installed."""
    try:
        import torch
        from torchvision.io import ImageReadMode, decode_jpeg, read_file
    except ImportError:
        return None
    torch.set_num_threads(1)
    begin, begin_cpu = time.perf_counter(), time.process_time()
    for path in paths:
        decode_jpeg(read_file(path), mode=ImageReadMode.RGB)
    return len(paths) / (time.perf_counter() - begin), len(paths) / (time.process_time() - begin_cpu)


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


def summary(speeds, which):
    """Of each program the median over rounds, and every round."""
    return {name: {"median": round(statistics.median(one[which] for one in rounds)),
                   "rounds": [round(one[which]) for one in rounds]} for name, rounds in speeds.items() if rounds}


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
        "load_average": os.getloadavg()[0],
        "images_per_second": summary(speeds, 0),
        "images_per_second_of_processor_time": summary(speeds, 1),
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
