#!/usr/bin/env python3
"""The training steps of compare_pytorch.py in JAX, whole and compiled: forward, backward and Adam in one jit.

usage: bench/jax_steps.py THREADS. Answers lines {case, seconds} on standard input with the median step in ms. The process
gets so many processors, of which XLA makes its pool of threads. The 20 VAEs are one step under vmap.
"""

import json
import os
import sys

THREADS = int(sys.argv[1])
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
os.environ["JAX_PLATFORMS"] = "cpu"

import jax  # noqa: E402 (it looks at the processors when it is imported)
import jax.numpy as jnp  # noqa: E402

from compare_pytorch import timed  # noqa: E402

RATE, BETA1, BETA2, EPSILON = 1e-4, 0.9, 0.999, 1e-8
EXACT = jax.lax.Precision.HIGHEST


def adam(state, gradients):
    t = state["t"] + 1
    m = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, state["m"], gradients)
    v = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, state["v"], gradients)
    root = jnp.sqrt(1 - BETA2**t)
    step = RATE * root / (1 - BETA1**t)
    w = jax.tree.map(lambda w, m, v: w - step * m / (jnp.sqrt(v) + EPSILON * root), state["w"], m, v)
    return state | {"w": w, "m": m, "v": v, "t": t}


def state_of(parameters, key):
    zeros = jax.tree.map(jnp.zeros_like, parameters)
    return {"w": parameters, "m": zeros, "v": jax.tree.map(jnp.copy, zeros), "t": jnp.zeros(()), "key": key}


def trained(cost):
    """A step of the parameters under this cost of theirs and of a key for the noise."""
    def step(state):
        key, own = jax.random.split(state["key"])
        return adam(state, jax.grad(cost)(state["w"], own)) | {"key": key}
    return step


def repeated(step, state):
    """A function that takes a step and waits for it; the old state's memory becomes the new one's."""
    step = jax.jit(step, donate_argnums=0)
    held = [state]

    def take():
        held[0] = jax.block_until_ready(step(held[0]))
    return take


def layer(key, inputs, outputs):
    bound = inputs**-0.5
    return {"w": jax.random.uniform(key, (outputs, inputs), minval=-bound, maxval=bound), "b": jnp.zeros(outputs)}


def dense(layer, x):
    return jnp.matmul(x, layer["w"].T, precision=EXACT) + layer["b"]


def gaussian_cost(x, y, log_sigma2, mean, log_variance, points, samples, dimensions):
    error = jnp.square(y - x).sum() / (points * samples)
    kl = 0.5 * (jnp.square(mean) + jnp.exp(log_variance) - 1 - log_variance).sum() / points
    return kl + 0.5 * (error * jnp.exp(-log_sigma2) + dimensions * log_sigma2)


def deep_parameters(widths, key):
    hidden, latent = widths[1:-1], widths[-1]
    keys = iter(jax.random.split(key, 16))

    def layers(sizes):
        return [layer(next(keys), a, b) for a, b in zip(sizes, sizes[1:])]
    return {"encoder": layers(widths[:-1]), "mean": layer(next(keys), hidden[-1], latent),
            "log_variance": layer(next(keys), hidden[-1], latent), "decoder": layers([latent] + hidden[::-1]),
            "output": layer(next(keys), hidden[0], widths[0]), "log_sigma2": jnp.zeros(())}


def deep_cost(widths, x, samples):
    points = x.shape[0]

    def cost(w, key):
        h = x
        for each in w["encoder"]:
            h = jax.nn.relu(dense(each, h))
        mean, log_variance = dense(w["mean"], h), dense(w["log_variance"], h)
        shape = mean.shape if samples == 1 else (samples, *mean.shape)
        z = mean + jnp.exp(0.5 * log_variance) * jax.random.normal(key, shape)
        for each in w["decoder"]:
            z = jax.nn.relu(dense(each, z))
        return gaussian_cost(x, dense(w["output"], z), w["log_sigma2"], mean, log_variance, points, samples, widths[0])
    return cost


def deep_vae(widths, points, samples=1):
    key = jax.random.key(0)
    x = jax.random.uniform(key, (points, widths[0]))
    return repeated(trained(deep_cost(widths, x, samples)), state_of(deep_parameters(widths, key), key))


def ensemble(members):
    widths, keys = [2, 50, 2], jax.random.split(jax.random.key(0), members)
    x = jax.random.uniform(keys[0], (500, 2))
    states = jax.vmap(lambda key: state_of(deep_parameters(widths, key), key))(keys)
    return repeated(jax.vmap(trained(deep_cost(widths, x, 1))), states)


def linear_vae(points):
    key = jax.random.key(0)
    x = jax.random.uniform(key, (points, 784))

    def cost(w, key):
        mean = jnp.matmul(x, w["encoder"].T, precision=EXACT)
        z = mean + jnp.exp(0.5 * w["log_variance"]) * jax.random.normal(key, mean.shape)
        y = jnp.matmul(z, w["decoder"].T, precision=EXACT)
        log_variance = jnp.broadcast_to(w["log_variance"], mean.shape)
        return gaussian_cost(x, y, w["log_sigma2"], mean, log_variance, points, 1, 784)
    parameters = {"encoder": jax.random.normal(key, (200, 784)) * 1e-3, "decoder": jax.random.normal(key, (784, 200)) * 1e-3,
                  "log_variance": jnp.zeros(200), "log_sigma2": jnp.zeros(())}
    return repeated(trained(cost), state_of(parameters, key))


def conv_vae():
    key = jax.random.key(0)
    keys = iter(jax.random.split(key, 32))
    x = jax.random.uniform(key, (64, 64, 64, 3))
    layout = ("NHWC", "HWIO", "NHWC")

    def filters(inputs, outputs):
        bound = (16 * inputs)**-0.5
        return {"w": jax.random.uniform(next(keys), (4, 4, inputs, outputs), minval=-bound, maxval=bound),
                "b": jnp.zeros(outputs)}

    def down(f, x, stride, padding):
        y = jax.lax.conv_general_dilated(x, f["w"], (stride, stride), [(padding, padding)] * 2, dimension_numbers=layout,
                                         precision=EXACT)
        return y + f["b"]

    def up(f, x, stride, padding):
        y = jax.lax.conv_transpose(x, f["w"], (stride, stride), [(3 - padding, 3 - padding)] * 2, dimension_numbers=layout,
                                   precision=EXACT)
        return y + f["b"]
    shapes = [(3, 32), (32, 32), (32, 64), (64, 64), (64, 256)]
    parameters = {"down": [filters(a, b) for a, b in shapes], "up": [filters(b, a) for a, b in shapes[::-1]],
                  "mean": layer(next(keys), 256, 32), "log_variance": layer(next(keys), 256, 32),
                  "hidden": layer(next(keys), 32, 256), "log_sigma2": jnp.zeros(())}

    def cost(w, key):
        h = x
        for f in w["down"][:-1]:
            h = jax.nn.relu(down(f, h, 2, 1))
        h = jax.nn.relu(down(w["down"][-1], h, 1, 0)).reshape(64, 256)
        mean, log_variance = dense(w["mean"], h), dense(w["log_variance"], h)
        z = mean + jnp.exp(0.5 * log_variance) * jax.random.normal(key, mean.shape)
        h = jax.nn.relu(dense(w["hidden"], z)).reshape(64, 1, 1, 256)
        h = jax.nn.relu(up(w["up"][0], h, 1, 0))
        for f in w["up"][1:-1]:
            h = jax.nn.relu(up(f, h, 2, 1))
        return gaussian_cost(x, up(w["up"][-1], h, 2, 1), w["log_sigma2"], mean, log_variance, 64, 1, 12288)
    return repeated(trained(cost), state_of(parameters, key))


def adam_alone():
    gradient = jax.random.normal(jax.random.key(1), (3_000_000,))
    return repeated(lambda state: adam(state, gradient), state_of(jax.random.normal(jax.random.key(0), (3_000_000,)), 0))


def make(case):
    batch = int(case.rsplit("-", 1)[-1]) if case.startswith(("linear", "mlp")) else 0
    return {"adam": adam_alone, "conv": conv_vae, "small": lambda: deep_vae([10, 50, 50, 2], 2000, 100),
            "ensemble": lambda: ensemble(20), "mlp": lambda: deep_vae([784, 1024, 512, 200], batch),
            "linear": lambda: linear_vae(batch)}[case.split("-")[0]]()


def main():
    made = {}
    for line in sys.stdin:
        job = json.loads(line)
        if job["case"] not in made:
            made = {job["case"]: make(job["case"])}
        ms = timed(made[job["case"]], job["seconds"])
        print(json.dumps({"ms": ms, "version": jax.__version__}), flush=True)


if __name__ == "__main__":
    main()
