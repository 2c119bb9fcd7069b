#!/usr/bin/env python3
"""elbo against PyTorch on the same training steps on a GPU, interleaved in one run.

usage: bench/compare_pytorch_cuda.py [ELBO_BINARY] [--rounds N] [--seconds S] [--budget S] [--case NAME] [--out FILE.json]

Cases: whole training steps of the deep VAE 784-1024-512-200 and of the linear VAE 784-200, each at batch 128 and 1000, of
ensembles of 20 and 100 such deep VAEs at batch 128, and of a small VAE with 100 samples of z; matrix products in TF32 and
f32. On both sides the data lie on the GPU as bytes, and a step gathers its batch, dequantises it, takes the logit, goes
forward and backward, and applies Adam, always the fused one. PyTorch runs an ensemble as batched products. Its ways:

  eager              as one would write it
  graph              the whole step captured by hand in a CUDA graph
  compile+graph      forward and backward compiled, then the whole step captured by hand
  reduce-overhead    torch.compile's own mode of that name, and Adam beside it
  max-autotune       likewise
  max-autotune+graph forward and backward compiled with every kernel chosen by timing, then the whole step captured by hand

In every round elbo and each of PyTorch's ways run the case in turn, so that a change in the machine's speed meets all.
Reported are medians over rounds of each side's median step, and PyTorch's time over elbo's, round by round: against eager,
and against the fastest of the others. A way that fails, or takes too long to prepare, is left out and the JSON says why;
so is a case for which --budget leaves no time. Needs PyTorch with CUDA; says so and exits with 77 when it is missing.
"""

import argparse
import json
import math
import os
import select
import statistics
import subprocess
import sys
import time

# The most telling first, should time run out.
CASES = [case + "-" + precision for precision in ("tf32", "f32") for case in
         ("mlp-vae-128", "ensemble-100", "mlp-vae-1000", "linear-vae-128", "ensemble-20", "linear-vae-1000",
          "small-vae-100-samples")]
WAYS = ("eager", "graph", "compile+graph", "reduce-overhead", "max-autotune+graph", "max-autotune")
ALPHA = 1e-6  # of the logit


def worker(device):
    """Answers lines {prepare or time, case, ...} on standard input by one line each on standard output."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what PyTorch prints is no answer
    try:
        import torch
        import torch.nn.functional as F
    except ImportError:
        answers.write(json.dumps({"error": "it is not installed"}) + "\n")
        return

    on_gpu = device == "cuda"
    if not on_gpu:
        torch.set_num_threads(1)

    def size(number):
        return number if on_gpu else max(number // 64, 2)

    class Data(torch.nn.Module):
        """Batches of digits-like bytes, of which most are black."""

        def __init__(self, batch):
            super().__init__()
            self.batches = (10000 if on_gpu else 16) // batch
            points = self.batches * batch
            self.register_buffer("pixels", torch.randint(0, 1024, (points, 784)).sub(768).clamp(0, 255).to(torch.uint8))
            self.register_buffer("order", torch.arange(points).view(self.batches, batch))

        def shuffle(self):
            self.order.copy_(torch.randperm(self.order.numel(), device=device).view_as(self.order))

        def forward(self, place):
            pixels = self.pixels[self.order.index_select(0, place).squeeze(0)].float()
            squeezed = ALPHA + (1 - 2 * ALPHA) * (pixels + torch.rand_like(pixels)) / 256
            return torch.log(squeezed) - torch.log1p(-squeezed)

    def negative_elbo(x, y, log_sigma2, kl, dimensions):
        """Of every member: y (M?, S?, N, D), log_sigma2 (M?), kl (M?)."""
        lead = log_sigma2.dim()
        error = (y - x).square().sum(-1).flatten(lead).mean(-1)
        return kl + 0.5 * (error * torch.exp(-log_sigma2) + dimensions * (log_sigma2 + math.log(2 * math.pi)))

    class Layer(torch.nn.Module):
        """x W^T + b, of all members at once if there are any."""

        def __init__(self, inputs, outputs, members, scale=1.0):
            super().__init__()
            lead = [members] if members else []
            bound = scale * math.sqrt(6 / (inputs + outputs))
            self.weight = torch.nn.Parameter((2 * torch.rand(*lead, outputs, inputs) - 1) * bound)
            self.bias = torch.nn.Parameter(torch.zeros(*lead, outputs))

        def forward(self, x):
            if self.weight.dim() == 2:
                return F.linear(x, self.weight, self.bias)
            if x.dim() == 2:
                x = x.expand(self.weight.shape[0], -1, -1)
            return torch.baddbmm(self.bias.unsqueeze(1), x, self.weight.transpose(1, 2))

    class DeepVae(torch.nn.Module):
        def __init__(self, widths, batch, samples=1, members=0, has_digits=True):
            super().__init__()
            hidden, latent = widths[1:-1], widths[-1]
            self.samples, self.dimensions = samples, widths[0]
            self.data = Data(batch) if has_digits else None
            if not has_digits:
                self.register_buffer("x", torch.rand(batch, widths[0]))

            def layers(sizes):
                return torch.nn.ModuleList(Layer(a, b, members) for a, b in zip(sizes, sizes[1:]))

            self.encoder, self.decoder = layers(widths[:-1]), layers([latent] + hidden[::-1])
            self.mean = Layer(hidden[-1], latent, members, 1e-3)
            self.log_variance = Layer(hidden[-1], latent, members, 0)
            self.output = Layer(hidden[0], widths[0], members)
            self.log_sigma2 = torch.nn.Parameter(torch.zeros([members] if members else []))

        def forward(self, place):
            x = self.data(place) if self.data is not None else self.x
            h = x
            for layer in self.encoder:
                h = F.relu(layer(h))
            mean, log_variance = self.mean(h), self.log_variance(h)
            shape = mean.shape if self.samples == 1 else (self.samples, *mean.shape)
            z = mean + torch.exp(0.5 * log_variance) * torch.randn(shape, device=mean.device)
            for layer in self.decoder:
                z = F.relu(layer(z))
            y = self.output(z)
            kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1).mean(-1)
            return negative_elbo(x, y, self.log_sigma2, kl, self.dimensions).sum()

    class LinearVae(torch.nn.Module):
        def __init__(self, latent, batch):
            super().__init__()
            self.data = Data(batch)
            self.register_buffer("centre", torch.full((784,), -9.0))
            self.encoder = torch.nn.Parameter(torch.randn(latent, 784) * 1e-3)
            self.decoder = torch.nn.Parameter(torch.randn(784, latent) * 1e-3)
            self.log_variance = torch.nn.Parameter(torch.zeros(latent))
            self.log_sigma2 = torch.nn.Parameter(torch.zeros([]))

        def forward(self, place):
            x = self.data(place) - self.centre
            mean = F.linear(x, self.encoder)
            z = mean + torch.exp(0.5 * self.log_variance) * torch.randn_like(mean)
            y = F.linear(z, self.decoder)
            kl = 0.5 * ((self.log_variance.exp() - 1 - self.log_variance).sum() + mean.square().sum(-1).mean())
            return negative_elbo(x, y, self.log_sigma2, kl, 784)

    def model_of(case):
        name, number = case.rsplit("-", 1)[0], [int(part) for part in case.split("-") if part.isdigit()][0]
        lucas = [784, size(1024), size(512), 200]
        if name.startswith("mlp-vae"):
            return DeepVae(lucas, size(number))
        if name.startswith("ensemble"):
            return DeepVae(lucas, size(128), members=number if on_gpu else number // 10)
        if name.startswith("small-vae"):
            return DeepVae([10, 50, 50, 2], size(2000), samples=number, has_digits=False)
        return LinearVae(200 if on_gpu else 20, size(number))

    class Step:
        """A training step of a case in one of the ways; `run_epoch` takes all those of an epoch."""

        def __init__(self, case, way):
            if way.endswith("graph") and not on_gpu:
                raise RuntimeError("CUDA graphs need a GPU")
            torch.manual_seed(0)
            self.model = model_of(case).to(device)
            self.adam = torch.optim.Adam(self.model.parameters(), lr=1e-4, fused=True, capturable=on_gpu)
            self.per_epoch = self.model.data.batches if self.model.data is not None else 4
            self.place = torch.zeros(1, dtype=torch.int64, device=device)
            self.total = torch.zeros([], device=device)
            modes = {"compile+graph": "default", "reduce-overhead": "reduce-overhead", "max-autotune": "max-autotune",
                     "max-autotune+graph": "max-autotune-no-cudagraphs"}
            self.loss = torch.compile(self.model, mode=modes[way], fullgraph=True) if way in modes else self.model
            self.own_graphs = way in ("reduce-overhead", "max-autotune")
            self.take = self.step
            if way.endswith("graph"):
                self.capture()
            else:
                for _ in range(5):
                    self.step()

        def step(self):
            if self.own_graphs:
                torch.compiler.cudagraph_mark_step_begin()
            self.adam.zero_grad(set_to_none=True)
            loss = self.loss(self.place)
            loss.backward()
            self.adam.step()
            self.total.add_(loss.detach())
            self.place.add_(1).remainder_(self.per_epoch)

        def capture(self):
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(5):
                    self.step()
            torch.cuda.current_stream().wait_stream(side)
            self.adam.zero_grad(set_to_none=True)
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.step()
            self.take = self.graph.replay

        def run_epoch(self):
            if self.model.data is not None:
                self.model.data.shuffle()
            for _ in range(self.per_epoch):
                self.take()

        def measure(self, epochs):
            """Microseconds a step."""
            if on_gpu:
                begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
                begin.record()
            start = time.perf_counter()
            for _ in range(epochs):
                self.run_epoch()
            if on_gpu:
                end.record()
                end.synchronize()
            milliseconds = begin.elapsed_time(end) if on_gpu else 1e3 * (time.perf_counter() - start)
            return 1e3 * milliseconds / (epochs * self.per_epoch)

        def time(self, seconds):
            self.measure(1)
            epochs = max(1, math.ceil(5e3 / (self.measure(1) * self.per_epoch)))
            times, start = [], time.perf_counter()
            while len(times) < 3 or time.perf_counter() - start < seconds:
                times.append(self.measure(epochs))
            self.total.zero_()
            self.run_epoch()
            loss = self.total.item() / self.per_epoch
            if not math.isfinite(loss):
                raise RuntimeError(f"the loss is {loss}")
            return {"us": statistics.median(times), "loss": loss}

    made, present = {}, None
    for line in sys.stdin:
        job = json.loads(line)
        case = job["case"]
        try:
            if case != present:
                made.clear()
                torch.compiler.reset()
                if on_gpu:
                    torch.cuda.empty_cache()
                present = case
            torch.set_float32_matmul_precision("high" if case.endswith("tf32") else "highest")
            if job["do"] == "start":
                answer = {"torch": torch.__version__, "cuda": torch.version.cuda,
                          "device": torch.cuda.get_device_name() if on_gpu else "the CPU, as a trial: figures mean nothing"}
            elif job["do"] == "prepare":
                made[job["way"]] = Step(case, job["way"])
                answer = {}
            else:
                answer = made[job["way"]].time(job["seconds"])
        except Exception as error:
            lines = str(error).strip().splitlines() or [""]
            answer = {"error": f"{type(error).__name__}: {lines[0][:300]}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


class Torch:
    """PyTorch in a process of its own, which can be given up without harm."""

    def __init__(self, device):
        self.device, self.process = device, None

    def ask(self, limit, **job):
        if self.process is None:
            self.process = subprocess.Popen([sys.executable, __file__, "--worker", self.device], stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            self.process.stdin.write(json.dumps(job) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # and no answer
        answer = ""
        if select.select([self.process.stdout], [], [], max(limit, 0))[0]:
            answer = self.process.stdout.readline()
            if answer:
                return json.loads(answer)
        why = f"not ready after {limit:.0f} s" if self.process.poll() is None and not answer else "its process ended"
        self.stop()
        return {"error": why}

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


def run_elbo(binary, case, seconds, limit):
    command = [binary, "bench", "--device", "cuda", "--json", "--no-peak", "--case", case, "--seconds", str(seconds)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=max(limit, 1))
    except subprocess.TimeoutExpired:
        return {"error": f"not done after {limit:.0f} s"}
    if done.returncode != 0:
        return {"error": (done.stderr.strip().splitlines() or ["exit status %d" % done.returncode])[-1]}
    return json.loads(done.stdout)["cases"][0]


def compare(case, options, torch, left):
    """One case: what was measured on both sides, and why something was not."""
    row = {"case": case, "error": None, "elbo_us": [], "nodes": None, "members": None, "elbo": None,
           "pytorch_us": {}, "skipped": {}}
    ready = []

    def prepare(way):
        return torch.ask(min(options.prepare_seconds, left() - 15), do="prepare", case=case, way=way)

    for way in options.way or WAYS:
        if left() < 30:
            row["skipped"][way] = "no time was left"
            continue
        answer = prepare(way)
        if "error" in answer:
            row["skipped"][way] = answer["error"]
            if torch.process is None:  # the others went with it
                ready = [other for other in ready if "error" not in prepare(other)]
        else:
            ready.append(way)
    for way in ready:
        row["pytorch_us"][way] = []
    for _ in range(options.rounds):
        if left() < 5:
            break
        sample = run_elbo(options.binary, case, options.seconds, left())
        if sample.get("error"):
            row["error"] = sample["error"]
            break
        row["elbo_us"].append(sample["microseconds"])
        row["nodes"], row["members"], row["elbo"] = sample["nodes"], sample["members"], sample["elbo"]
        for way in ready:
            answer = torch.ask(60, do="time", case=case, way=way, seconds=options.seconds)
            if "error" in answer:
                row["skipped"][way] = answer["error"]
            else:
                row["pytorch_us"][way].append(answer["us"])
    # Only whole rounds make pairs.
    row["pytorch_us"] = {way: times for way, times in row["pytorch_us"].items() if way not in row["skipped"] and times}
    if not row["elbo_us"]:
        row["error"] = row["error"] or "no time was left"

    def ratios(ways):
        found = [way for way in ways if way in row["pytorch_us"]]
        if not found or not row["elbo_us"]:
            return None
        way = min(found, key=lambda w: statistics.median(row["pytorch_us"][w]))
        pairs = [theirs / ours for ours, theirs in zip(row["elbo_us"], row["pytorch_us"][way])]
        return {"way": way, "pytorch_us": statistics.median(row["pytorch_us"][way]), "median": statistics.median(pairs),
                "min": min(pairs), "max": max(pairs)}

    row["elbo_median_us"] = statistics.median(row["elbo_us"]) if row["elbo_us"] else None
    row["us_per_member"] = row["elbo_median_us"] / row["members"] if row["elbo_us"] and row["members"] else None
    row["against_eager"] = ratios(WAYS[:1])
    row["against_best"] = ratios(WAYS[1:])
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", nargs="?", default="build/release/elbo")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.3, help="of measuring, for each way and round")
    parser.add_argument("--budget", type=float, default=1200, help="seconds for everything; the last cases are left out")
    parser.add_argument("--prepare-seconds", type=float, default=90, help="for compiling one way of one case")
    parser.add_argument("--case", action="append", choices=CASES, help="only this case; can be repeated")
    parser.add_argument("--way", action="append", choices=WAYS, help="only this way; can be repeated")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"),
                        help="cpu: PyTorch's side there, in small, to try this script beside an emulated GPU")
    parser.add_argument("--out")
    options = parser.parse_args()
    deadline = time.monotonic() + options.budget

    def left():
        return deadline - time.monotonic()

    if not os.access(options.binary, os.X_OK):
        sys.exit(f"there is no program {options.binary}; build it with CUDA or name it")
    torch = Torch(options.device)
    about = torch.ask(min(90, left()), do="start", case="")
    if "error" in about:
        print(f"skipped: PyTorch cannot be used here ({about['error']})")
        sys.exit(77)
    result = about | {"rounds": options.rounds, "seconds": options.seconds, "cases": []}

    def save():
        if options.out:
            with open(options.out, "w") as file:
                json.dump(result, file, indent=1)

    print(f"PyTorch {about['torch']}, {about['device']}; {options.rounds} rounds of {options.seconds} s each, interleaved\n")
    print(f"{'case':26} {'elbo us':>9} {'eager us':>9} {'best us':>9}  {'of':18} {'eager/elbo':>20} {'best/elbo':>20}")

    def show(ratio):
        return f"{ratio['median']:.2f} ({ratio['min']:.2f}-{ratio['max']:.2f})" if ratio else ""

    def number(ratio):
        return f"{ratio['pytorch_us']:.1f}" if ratio else ""

    for case in options.case or CASES:
        row = compare(case, options, torch, left)
        result["cases"].append(row)
        save()
        if row["elbo_median_us"] is None:
            print(f"{case:26} {row['error']}", flush=True)
            continue
        eager, best = row["against_eager"], row["against_best"]
        print(f"{case:26} {row['elbo_median_us']:9.1f} {number(eager):>9} {number(best):>9}  "
              f"{best['way'] if best else '':18} {show(eager):>20} {show(best):>20}", flush=True)
    torch.stop()
    print("\nRatios: PyTorch's time over elbo's; median (min-max) over rounds.")
    skipped = [(row["case"], way, why) for row in result["cases"] for way, why in row["skipped"].items()]
    for case, way, why in skipped:
        print(f"left out: {case}, {way}: {why}")
    sys.exit(1 if any(row["error"] and row["error"] != "no time was left" for row in result["cases"]) else 0)


if __name__ == "__main__":
    worker(sys.argv[2]) if sys.argv[1:2] == ["--worker"] else main()
