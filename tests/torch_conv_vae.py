"""elbo's convolutional VAEs as someone would write them in PyTorch, for the scripts that compare the two.

Parameters have the names that elbo's model files have, so load_state_dict takes a file as it is. Images are
(N, C, H, W) here; elbo's rows of pixels are (H, W, C) flattened, see `images` and `rows`.
"""

import torch
from torch import nn
from torch.nn import functional

from model_file import read_safetensors


def images(x, image):
    """x (N, D) as (N, C, H, W)."""
    height, width, channels = image
    return x.reshape(-1, height, width, channels).permute(0, 3, 1, 2)


def rows(pictures):
    """The way back."""
    return pictures.permute(0, 2, 3, 1).flatten(1)


def higgins(side, w):
    """Kernel, stride, padding and output channels of the encoder's layers."""
    halves = {64: [w, w, 2 * w, 2 * w], 32: [w, 2 * w, 2 * w], 28: [w, 2 * w]}[side]
    layers = [(4, 2, 1, c) for c in halves]
    if side == 28:
        layers.append((3, 2, 1, 2 * w))
    return layers + [(4, 1, 0, 8 * w)]


class ConvVae(nn.Module):
    def __init__(self, design, image, width, latent):
        super().__init__()
        self.design, self.image = design, image
        side, channels = image[0], image[2]
        if design == "higgins":
            layers, normalised, ends = higgins(side, width), set(), {}
        else:
            w = width
            layers = [(3, 2, 1, w // 2), (3, 1, 1, w), (3, 2, 1, w), (3, 2, 1, w), (3, 1, 1, w), (2, 2, 0, w),
                      (2, 1, 0, w), (2, 1, 0, w)]
            normalised, ends = {0, 2, 4, 6}, {6: 1}
        relu = normalised if design == "asperti" else set(range(len(layers)))

        self.encoder, self.decoder = nn.Module(), nn.Module()
        self.down, self.up = [], []  # functions in order
        number, given, sides = 0, channels, [side]

        def join(module, steps, name, layer):
            module.add_module(str(name), layer)
            steps.append(layer)
            return name + 1

        for i, (kernel, stride, padding, out) in enumerate(layers):
            end = ends.get(i, 0)
            if end:
                self.down.append(lambda x, end=end: functional.pad(x, (0, end, 0, end)))
            number = join(self.encoder, self.down, number, nn.Conv2d(given, out, kernel, stride, padding))
            if i in normalised:
                number = join(self.encoder, self.down, number, nn.BatchNorm2d(out))
            if i in relu:
                self.down.append(functional.relu)
            sides.append((sides[-1] + end + 2 * padding - kernel) // stride + 1)
            given = out
        self.encoder.add_module("mean", nn.Linear(given, latent))
        self.encoder.add_module("log_variance", nn.Linear(given, latent))

        number = join(self.decoder, self.up, 0, nn.Conv2d(latent, given, 1))
        if len(layers) - 1 in relu:
            self.up.append(functional.relu)
        for i in reversed(range(len(layers))):
            kernel, stride, padding, _ = layers[i]
            out, end = (layers[i - 1][3] if i else channels), ends.get(i, 0)
            more = sides[i] + end - ((sides[i + 1] - 1) * stride - 2 * padding + kernel)
            number = join(self.decoder, self.up, number,
                          nn.ConvTranspose2d(given, out, kernel, stride, padding, output_padding=more))
            if end:
                self.up.append(lambda x, end=end: x[:, :, :-end, :-end])
            if i and i - 1 in normalised:
                number = join(self.decoder, self.up, number, nn.BatchNorm2d(out))
            if i and i - 1 in relu:
                self.up.append(functional.relu)
            given = out
        self.log_sigma2 = nn.Parameter(torch.zeros(1))

    def encode(self, x):
        """x (N, D) -> mean and log variance (N, k)."""
        h = images(x, self.image)
        for step in self.down:
            h = step(h)
        h = h.flatten(1)
        return self.encoder.mean(h), self.encoder.log_variance(h)

    def decode(self, z):
        """z (N, k) -> (N, D)."""
        h = z[:, :, None, None]
        for step in self.up:
            h = step(h)
        return rows(h)


def load(path):
    """A model file of elbo, strictly: every name and shape must be there, and nothing else."""
    tensors, metadata = read_safetensors(path)
    image = tuple(int(metadata[f"image_{side}"]) for side in ("height", "width", "channels"))
    latent = tensors["encoder.mean.bias"].shape[0]
    vae = ConvVae(metadata["network"], image, int(metadata["width"]), latent)
    vae.load_state_dict({name: torch.tensor(value) for name, value in tensors.items()}, strict=True)
    return vae.to(torch.tensor(tensors["encoder.mean.bias"]).dtype)
