"""What recording a PyTorch training costs, against the same training without and against what people use instead.

    benches/python_recording.py [--rounds N] [--steps N] [--json FILE]

One thread for PyTorch, a core for the recorder's own. All ways share one model, since copies differ by more than what is measured,
by where they lie in memory; rounds take turns, so that what else the machine does meets all of them. Times per step are medians
over the rounds, of the wall and of the training thread's processor time, which other programs on the machine disturb less.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.tensorboard import SummaryWriter

import epsiloscope.torch

LAYERS, WIDTH, HEADS, CONTEXT, VOCABULARY = 12, 192, 4, 128, 2048


class Block(nn.Module):
    """A layer of GPT-2."""

    def __init__(self):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attn, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.fc, self.fc_proj = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        q, k, v = self.attn(self.ln_1(x)).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        heads = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(heads.transpose(1, 2).flatten(2))
        return x + self.fc_proj(F.gelu(self.fc(self.ln_2(x))))


class Transformer(nn.Module):
    """GPT-2's 148 tensors, narrower."""

    def __init__(self):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.h = nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.ln_f = nn.LayerNorm(WIDTH)

    def forward(self, tokens):
        hidden = self.ln_f(self.h(self.wte(tokens) + self.wpe.weight))
        return (hidden @ self.wte.weight.T).flatten(0, 1)


def cnn():
    """The reference network for images of 28 by 28."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


def images():
    return torch.rand(64, 1, 28, 28), torch.randint(10, (64,))


def tokens():
    drawn = torch.randint(VOCABULARY, (8, CONTEXT + 1))
    return drawn[:, :-1], drawn[:, 1:].flatten()


class Bare:
    """A training, and what is done with its gradients before each step: here nothing."""

    def __init__(self, model, optimizer, folder):
        self.model, self.optimizer, self.folder = model, optimizer, folder
        self.step = 0

    def take(self, batch):
        self.step += 1
        self.optimizer.zero_grad()
        F.cross_entropy(self.model(batch[0]), batch[1]).backward()
        self.watch()
        self.optimizer.step()

    def begin(self):
        pass

    def watch(self):
        pass

    def end(self):
        pass


class Recorded(Bare):
    """Exact histograms of every element, 4096 values per tensor."""

    options = {}

    def begin(self):
        run = self.folder / type(self).__name__
        self.recorder = epsiloscope.torch.record(self.model, self.optimizer, run, if_exists="replace", **self.options)

    def end(self):
        self.recorder.close()


class Histograms(Recorded):
    """Exact histograms of every element alone."""

    options = {"magnitudes": None}


class CriticalEpsilon(Recorded):
    """Both, and the exact critical ε of every element, from AdamW's own moments."""

    options = {"critical_epsilon_every_step": True}


class Read(Bare):
    """The physical limit: every gradient is read once, by `sum`."""

    def watch(self):
        self.last = [parameter.grad.sum() for parameter in self.model.parameters()]


class Watched(Bare):
    """As experiment trackers watch gradients: 64 linear bins between least and greatest, read tensor by tensor."""

    def watch(self):
        self.last = {}
        for name, parameter in self.model.named_parameters():
            flat = parameter.grad.detach().reshape(-1)
            least, greatest = flat.min().item(), flat.max().item()
            self.last[name] = torch.histc(flat, 64, min=least, max=greatest).tolist(), least, greatest


class TensorBoard(Bare):
    """TensorBoard's `add_histogram` of every tensor."""

    def begin(self):
        self.writer = SummaryWriter(self.folder / "tensorboard")

    def watch(self):
        for name, parameter in self.model.named_parameters():
            self.writer.add_histogram(name, parameter.grad, self.step)

    def end(self):
        self.writer.close()


WAYS = [Bare, Recorded, Histograms, CriticalEpsilon, Read, Watched, TensorBoard]


def measure(make, batch, folder, n_rounds, n_steps):
    """Per way the seconds per step of every round: wall, processor."""
    torch.manual_seed(0)
    model = make()
    # Weights stay as they are, so that every way sees the same gradients.
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0)
    ways = [way(model, optimizer, folder) for way in WAYS]
    times = {way.__name__: [] for way in WAYS}
    for round_index in range(-1, n_rounds):
        shift = round_index % len(ways)
        for way in ways[shift:] + ways[:shift]:
            way.begin()
            way.take(batch)
            wall, processor = time.perf_counter(), time.thread_time()
            for _ in range(n_steps):
                way.take(batch)
            spent = (time.perf_counter() - wall) / n_steps, (time.thread_time() - processor) / n_steps
            way.end()
            # The first round warms up.
            if round_index >= 0:
                times[type(way).__name__].append(spent)
    return times


def summary(times):
    """Medians over the rounds, each against the bare step of its round."""
    rows = {}
    for way, spent in times.items():
        row = {}
        for index, clock in enumerate(("wall", "processor")):
            bare = [each[index] for each in times["Bare"]]
            own = [each[index] for each in spent]
            row[clock] = {
                "step_ms": 1e3 * statistics.median(own),
                "ratio": statistics.median(a / b for a, b in zip(own, bare)),
                "added_ms": 1e3 * statistics.median(a - b for a, b in zip(own, bare)),
            }
        rows[way] = row
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results = {}
    # Turns are short, so that a machine that slows down for a second slows all ways down.
    for name, make, batch, n_rounds, n_steps in (
        ("cnn", cnn, images(), 5 * arguments.rounds, 2 * arguments.steps),
        ("gpt2", Transformer, tokens(), arguments.rounds, arguments.steps),
    ):
        with tempfile.TemporaryDirectory() as folder:
            rows = summary(measure(make, batch, Path(folder), n_rounds, n_steps))
        results[name] = rows
        print(f"\n{name}: {sum(1 for _ in make().parameters())} tensors, {sum(p.numel() for p in make().parameters()):,} elements")
        print(f"{'':18}{'step':>10}{'ratio':>8}{'added':>10}   {'processor':>10}{'ratio':>8}{'added':>10}{'/ ours':>8}")
        ours = rows["Recorded"]["wall"]["added_ms"]
        for way, row in rows.items():
            wall, processor = row["wall"], row["processor"]
            print(
                f"{way:18}{wall['step_ms']:8.2f}ms{wall['ratio']:8.3f}{wall['added_ms']:8.2f}ms   "
                f"{processor['step_ms']:8.2f}ms{processor['ratio']:8.3f}{processor['added_ms']:8.2f}ms"
                f"{wall['added_ms'] / ours:8.1f}"
            )
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
