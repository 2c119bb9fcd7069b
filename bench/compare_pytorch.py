#!/usr/bin/env python3
"""elbo against PyTorch, and JAX where it is installed, on the same training steps, interleaved in one run.

usage: bench/compare_pytorch.py [ELBO_BINARY] [--rounds N] [--seconds S] [--case NAME] [--avx2] [--out FILE.json]

Cases: whole training steps (forward, backward, Adam) of the linear VAE 784-200 and of the deep VAE 784-1024-512-200,
each at batch 128 and 1000; of a small deep VAE 10-50-50-2 on 2000 points with 100 latent samples each; of 20 VAEs
2-50-2 on 500 points, an ensemble here and one model after another in PyTorch; of Higgins' convolutional VAE on 64 images
of 64x64x3, in PyTorch in either layout of images and compiled; and Adam over 3 million parameters. With
one and two threads. In every round elbo and PyTorch run each case in turn, so that a
change in the machine's speed meets all. Reported are medians over rounds of each side's median step, and the ratio
pair by pair against PyTorch's best threading. PyTorch runs each of its Adam implementations; the ratio is given
against its default and against the fastest of them. JAX (bench/jax_steps.py) compiles the whole step, Adam included, and
runs the 20 VAEs by vmap. --avx2 keeps all of them from AVX-512; elbo must then be of a build with -D ELBO_NATIVE=OFF.
Needs PyTorch (pip install torch); says so and exits with 77 when it is missing.
"""

import argparse
import importlib.util
import json
import os
import re
import statistics
import subprocess
import sys
import time

CASES = ("linear-vae-128", "linear-vae-1000", "mlp-vae-128", "mlp-vae-1000", "small-vae-100-samples", "ensemble-20",
         "conv-vae-64", "adam-3m")
ADAMS = ("default", "foreach", "fused")
# More ways to run PyTorch, each a word of "channels-last" or "compiled" before an Adam.
CONV_WAYS = tuple(f"channels-last {adam}" for adam in ADAMS) + ("fused", "channels-last compiled fused")


def ways_of(case):
    return CONV_WAYS if case == "conv-vae-64" else ADAMS


def timed(step, seconds):
    """The median step in ms, after a few to warm up."""
    for _ in range(5):
        step()
    times, start = [], time.perf_counter()
    while len(times) < 10 or time.perf_counter() - start < seconds:
        begin = time.perf_counter()
        step()
        times.append(time.perf_counter() - begin)
    return 1e3 * statistics.median(times)


def worker():
    """Reads a line {case, adam, threads, seconds} on standard input, answers with the median step in ms."""
    import torch
    import torch.nn.functional as F

    def adam_of(kind, parameters):
        options = {"default": {}, "foreach": {"foreach": True}, "fused": {"fused": True}}[kind.split()[-1]]
        return torch.optim.Adam(parameters, lr=1e-4, **options)

    def linear_vae(batch, kind):
        torch.manual_seed(0)
        x = torch.rand(batch, 784)
        encoder = torch.nn.Parameter(torch.randn(200, 784) * 1e-3)
        decoder = torch.nn.Parameter(torch.randn(784, 200) * 1e-3)
        log_variance = torch.nn.Parameter(torch.zeros(200))
        log_sigma2 = torch.nn.Parameter(torch.zeros(1))
        adam = adam_of(kind, [encoder, decoder, log_variance, log_sigma2])

        def step():
            adam.zero_grad(set_to_none=True)
            mean = F.linear(x, encoder)
            z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
            reconstruction = F.linear(z, decoder)
            error = F.mse_loss(reconstruction, x, reduction="sum") / batch
            kl = 0.5 * ((log_variance.exp() - 1 - log_variance).sum() + mean.square().sum() / batch)
            loss = kl + 0.5 * (error * torch.exp(-log_sigma2) + 784 * log_sigma2).sum()
            loss.backward()
            adam.step()

        return step

    def deep_vae(widths, batch, samples, kind):
        torch.manual_seed(0)
        latent, hidden = widths[-1], widths[1:-1]

        def trunk(sizes):
            layers = []
            for a, b in zip(sizes, sizes[1:]):
                layers += [torch.nn.Linear(a, b), torch.nn.ReLU()]
            return layers

        encoder = torch.nn.Sequential(*trunk(widths[:-1]))
        mean_head, variance_head = torch.nn.Linear(hidden[-1], latent), torch.nn.Linear(hidden[-1], latent)
        decoder = torch.nn.Sequential(*trunk([latent] + hidden[::-1]), torch.nn.Linear(hidden[0], widths[0]))
        log_sigma2 = torch.nn.Parameter(torch.zeros(1))
        parameters = [p for m in (encoder, mean_head, variance_head, decoder) for p in m.parameters()] + [log_sigma2]
        adam = adam_of(kind, parameters)
        x = torch.rand(batch, widths[0])

        def step():
            adam.zero_grad(set_to_none=True)
            h = encoder(x)
            mean, log_variance = mean_head(h), variance_head(h)
            shape = (samples, batch, latent) if samples > 1 else (batch, latent)
            z = mean + torch.exp(0.5 * log_variance) * torch.randn(shape)
            y = decoder(z)
            error = F.mse_loss(y, x.expand_as(y), reduction="sum") / (batch * samples)
            kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum() / batch
            loss = kl + 0.5 * (error * torch.exp(-log_sigma2) + widths[0] * log_sigma2).sum()
            loss.backward()
            adam.step()

        return step

    def conv_vae(kind):
        torch.manual_seed(0)
        conv, back, relu = torch.nn.Conv2d, torch.nn.ConvTranspose2d, torch.nn.ReLU
        encoder = torch.nn.Sequential(conv(3, 32, 4, 2, 1), relu(), conv(32, 32, 4, 2, 1), relu(), conv(32, 64, 4, 2, 1),
                                      relu(), conv(64, 64, 4, 2, 1), relu(), conv(64, 256, 4), relu(), torch.nn.Flatten())
        mean_head, variance_head = torch.nn.Linear(256, 32), torch.nn.Linear(256, 32)
        decoder = torch.nn.Sequential(torch.nn.Linear(32, 256), relu(), torch.nn.Unflatten(1, (256, 1, 1)),
                                      back(256, 64, 4), relu(), back(64, 64, 4, 2, 1), relu(), back(64, 32, 4, 2, 1),
                                      relu(), back(32, 32, 4, 2, 1), relu(), back(32, 3, 4, 2, 1))
        x = torch.rand(64, 3, 64, 64)
        if "channels-last" in kind:
            encoder, decoder = (m.to(memory_format=torch.channels_last) for m in (encoder, decoder))
            x = x.to(memory_format=torch.channels_last)
        log_sigma2 = torch.nn.Parameter(torch.zeros(1))
        parameters = [p for m in (encoder, mean_head, variance_head, decoder) for p in m.parameters()] + [log_sigma2]
        adam = adam_of(kind, parameters)

        def cost():
            h = encoder(x)
            mean, log_variance = mean_head(h), variance_head(h)
            y = decoder(mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean))
            error = F.mse_loss(y, x, reduction="sum") / 64
            kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum() / 64
            return kl + 0.5 * (error * torch.exp(-log_sigma2) + 12288 * log_sigma2).sum()

        cost = torch.compile(cost) if "compiled" in kind else cost

        def step():
            adam.zero_grad(set_to_none=True)
            cost().backward()
            adam.step()

        return step

    def one_after_another(steps):
        def step():
            for each in steps:
                each()

        return step

    def make(case, kind):
        if case == "adam-3m":
            return adam_alone(kind)
        if case == "conv-vae-64":
            return conv_vae(kind)
        if case == "small-vae-100-samples":
            return deep_vae([10, 50, 50, 2], 2000, 100, kind)
        if case == "ensemble-20":
            return one_after_another([deep_vae([2, 50, 2], 500, 1, kind) for _ in range(20)])
        batch = int(case.split("-")[-1])
        return deep_vae([784, 1024, 512, 200], batch, 1, kind) if case.startswith("mlp") else linear_vae(batch, kind)

    def adam_alone(kind):
        weights = torch.nn.Parameter(torch.randn(3_000_000))
        weights.grad = torch.randn(3_000_000)
        return adam_of(kind, [weights]).step

    made = {}
    for line in sys.stdin:
        job = json.loads(line)
        torch.set_num_threads(job["threads"])
        key = job["case"], job["adam"]
        if key not in made:
            made = {key: make(job["case"], job["adam"])}
        step = made[key]
        ms = timed(step, job["seconds"])
        with open("/proc/self/status") as status:
            peak = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
        print(json.dumps({"ms": ms, "peak": peak, "version": torch.__version__}), flush=True)


class Worker:
    """A library in a process of its own: a line of JSON there, a line back."""

    def __init__(self, name, *command):
        self.name = name
        self.process = subprocess.Popen([sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, **job):
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"{self.name}'s process ended early")
        return json.loads(answer)


def jax_workers(threads):
    """A process for each number of threads, as JAX has as many as there are processors when it starts."""
    if importlib.util.find_spec("jax") is None:
        return {}
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "jax_steps.py")
    return {t: Worker("JAX", script, str(t)) for t in threads}


def processor():
    with open("/proc/cpuinfo") as file:
        found = re.findall(r"^(model name|model|cpu family)\s*: (.*)$", file.read(), re.MULTILINE)
    about = dict(found)
    return f"{about.get('model name', 'unknown')}, family {about.get('cpu family')}, model {about.get('model')}"


# What keeps elbo, OpenBLAS, oneDNN, PyTorch, MKL and XLA from AVX-512.
AVX2_ONLY = {"ELBO_CPU": "v3", "OPENBLAS_CORETYPE": "Haswell", "ONEDNN_MAX_CPU_ISA": "AVX2", "DNNL_MAX_CPU_ISA": "AVX2",
             "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2", "XLA_FLAGS": "--xla_cpu_max_isa=AVX2"}


def run_elbo(binary, case, threads, seconds):
    command = [binary, "bench", "--device", "cpu", "--json", "--case", case, "--threads", str(threads),
               "--seconds", str(seconds)]
    answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return answer["cases"][0] | {"fma_peak": answer["fma_peak_gflops"]}


def median_ms(samples):
    return statistics.median(s["ms"] for s in samples)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", nargs="?", default="build/release/elbo")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--case", action="append", choices=CASES, help="only this case; can be repeated")
    parser.add_argument("--avx2", action="store_true", help="nobody may use AVX-512")
    parser.add_argument("--out")
    options = parser.parse_args()
    if options.avx2:
        os.environ.update(AVX2_ONLY)
    if not os.access(options.binary, os.X_OK):
        sys.exit(f"there is no program {options.binary}; build it with scripts/demo or name it")
    try:
        import torch
    except ImportError:
        print("skipped: PyTorch is not installed (pip install torch)")
        sys.exit(77)

    threads = (1, 2)
    torch_worker, jax = Worker("PyTorch", __file__, "--worker"), jax_workers(threads)
    # The highest that was seen: other work on the machine makes the peak look lower than it is.
    peaks = dict.fromkeys(threads, 0)
    results = []
    versions = {"pytorch": torch.__version__, "jax": None}
    print(f"{processor()}{', AVX2 only' if options.avx2 else ''}; PyTorch {torch.__version__}; "
          f"{options.rounds} rounds of {options.seconds} s each side, interleaved")
    print(f"\n{'case':22} {'threads':>7} {'elbo ms':>9} {'PyTorch ms (default, best Adam)':>32} {'JAX ms':>9}")
    for case in options.case or CASES:
        ours = {t: [] for t in threads}
        ways = ways_of(case)
        theirs = {(t, a): [] for t in threads for a in ways}
        by_jax = {t: [] for t in jax}
        for _ in range(options.rounds):
            for t in threads:
                sample = run_elbo(options.binary, case, t, options.seconds)
                peaks[t] = max(peaks[t], sample["fma_peak"] or 0)
                ours[t].append({"ms": sample["median_ms"], "peak": sample["peak_resident_bytes"], "gflops": sample["gflops"]})
                for a in ways:
                    theirs[t, a].append(torch_worker.run(case=case, adam=a, threads=t, seconds=options.seconds / 2))
                if t in jax:
                    by_jax[t].append(jax[t].run(case=case, seconds=options.seconds / 2))
                    versions["jax"] = by_jax[t][-1]["version"]
        for t in threads:
            best_adam = min(ways, key=lambda a: median_ms(theirs[t, a]))
            pair = f"{median_ms(theirs[t, ways[0]]):.3f}, {median_ms(theirs[t, best_adam]):.3f} ({best_adam})"
            jax_ms = f"{median_ms(by_jax[t]):.3f}" if t in jax else ""
            print(f"{case:22} {t:7} {median_ms(ours[t]):9.3f} {pair:>32} {jax_ms:>9}", flush=True)

        best_threads = min(threads, key=lambda t: median_ms(ours[t]))

        def spread(samples):
            pairs = [b["ms"] / a["ms"] for a, b in zip(ours[best_threads], samples)]
            return {"elbo_threads": best_threads, "median": statistics.median(pairs), "min": min(pairs), "max": max(pairs)}

        def ratios(adams):
            t, a = min(((t, a) for t in threads for a in adams), key=lambda key: median_ms(theirs[key]))
            return {"pytorch_threads": t, "pytorch_adam": a} | spread(theirs[t, a])

        def against_jax():
            t = min(jax, key=lambda t: median_ms(by_jax[t]))
            return {"jax_threads": t} | spread(by_jax[t])

        row = {"case": case, "against_default": ratios(ways[:1]), "against_best": ratios(ways),
               "against_jax": against_jax() if jax else None,
               "elbo_peak_bytes": max(s["peak"] for t in threads for s in ours[t]),
               "pytorch_peak_bytes": max(s["peak"] for s in sum(theirs.values(), [])),
               "elbo_ms": {t: [s["ms"] for s in ours[t]] for t in threads},
               "elbo_gflops": {t: statistics.median(s["gflops"] or 0 for s in ours[t]) for t in threads},
               "pytorch_ms": {f"{t} threads, {a}": [s["ms"] for s in theirs[t, a]] for t in threads for a in ways},
               "jax_ms": {t: [s["ms"] for s in by_jax[t]] for t in jax}}
        results.append(row)
    print(f"\n{'case':22} {'PyTorch default / elbo':>26} {'PyTorch best Adam / elbo':>26} {'JAX / elbo':>22} "
          f"{'of FMA peak':>14} {'peak MB elbo':>13} {'PyTorch':>8}")
    for row in results:
        rates = row["elbo_gflops"]
        measured = all(0 < rates[t] <= peaks[t] for t in threads)
        share = ", ".join(f"{100 * rates[t] / peaks[t]:.0f}" for t in threads) + " %" if measured else ""
        def show(r):
            return f"{r['median']:.2f} ({r['min']:.2f}-{r['max']:.2f})" if r else ""
        print(f"{row['case']:22} {show(row['against_default']):>26} {show(row['against_best']):>26} {show(row['against_jax']):>22} {share:>14} "
              f"{row['elbo_peak_bytes'] / 1e6:13.0f} {row['pytorch_peak_bytes'] / 1e6:8.0f}")
    print("\nFMA peak: " + ", ".join(f"{peaks[t]:.0f} Gflop/s with {t} thread{'s'[:t - 1]}" for t in threads))
    print(f"Of the peak: elbo with {', '.join(map(str, threads))} threads, over the highest peak that was seen.")
    print("Ratios: PyTorch's or JAX's time over elbo's, each side at its best threading; median (min-max) over rounds.")
    if options.out:
        with open(options.out, "w") as file:
            json.dump(versions | {"processor": processor(), "avx2_only": options.avx2, "rounds": options.rounds,
                                  "seconds": options.seconds, "fma_peak_gflops": peaks, "cases": results}, file, indent=1)


if __name__ == "__main__":
    worker() if sys.argv[1:] == ["--worker"] else main()
