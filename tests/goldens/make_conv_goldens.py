#!/usr/bin/env python3
"""Writes what PyTorch makes of small convolutional VAEs, for tests/vae/conv_goldens_test.cpp to compare with.

usage: tests/goldens/make_conv_goldens.py          (needs PyTorch; the files it writes are in the repository)

For each network NAME.safetensors is a model with random numbers in every parameter, as elbo would have saved it, and
NAME-expected.safetensors holds a batch x, numbers a, b and c to weigh results with, the results in training mode and in
evaluation, and the gradient of sum(mean a) + sum(log_variance b) + sum(decode(mean) c) by every parameter, under its name.
All in float64.
"""

import pathlib
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from model_file import write_safetensors
from torch_conv_vae import ConvVae

NETWORKS = {
    "higgins-64": ("higgins", (64, 64, 1), 1, 3),
    "higgins-32": ("higgins", (32, 32, 3), 1, 3),
    "higgins-28": ("higgins", (28, 28, 1), 2, 3),
    "asperti-28": ("asperti", (28, 28, 1), 4, 3),
}
ROWS = 2

for name, (design, image, width, latent) in NETWORKS.items():
    torch.manual_seed(1)
    torch.set_default_dtype(torch.float64)
    vae = ConvVae(design, image, width, latent)
    with torch.no_grad():
        for key, value in vae.state_dict().items():
            if value.dtype == torch.float64:  # not the count of batches
                value.copy_(0.3 * torch.randn_like(value) if "running_var" not in key else 0.5 + torch.rand_like(value))
    x = torch.randn(ROWS, image[0] * image[1] * image[2])
    a, b, c = torch.randn(ROWS, latent), torch.randn(ROWS, latent), torch.randn_like(x)
    folder = pathlib.Path(__file__).resolve().parent
    state = {key: value.clone().numpy() for key, value in vae.state_dict().items() if "num_batches" not in key}
    write_safetensors(folder / f"{name}.safetensors", state,
                      {"model": "conv", "network": design, "width": str(width), "likelihood": "gaussian",
                       "image_height": str(image[0]), "image_width": str(image[1]), "image_channels": str(image[2])})

    expected = {"x": x, "a": a, "b": b, "c": c}
    vae.eval()
    expected["evaluate.mean"], expected["evaluate.log_variance"] = vae.encode(x)
    expected["evaluate.output"] = vae.decode(expected["evaluate.mean"])
    vae.train()
    mean, log_variance = vae.encode(x)
    output = vae.decode(mean)
    expected |= {"train.mean": mean, "train.log_variance": log_variance, "train.output": output}
    ((mean * a).sum() + (log_variance * b).sum() + (output * c).sum()).backward()
    for key, parameter in vae.named_parameters():
        if parameter.grad is not None:
            expected[f"gradient.{key}"] = parameter.grad
    for key, buffer in vae.named_buffers():
        if "running" in key:
            expected[f"after.{key}"] = buffer
    write_safetensors(folder / f"{name}-expected.safetensors",
                      {key: value.detach().numpy() for key, value in expected.items()},
                      {"made_by": f"PyTorch {torch.__version__}"})
