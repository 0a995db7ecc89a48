"""Times what people use instead of Epsiloscope's kernel; asked round by round by benches/binning.rs.

Usage: binning_baselines.py FILE REPEATS, FILE being little-endian float32. One thread each. Per line read from
standard input, one line `name=seconds;name=seconds` is answered.
"""

import sys
import time

import numpy as np
import torch

torch.set_num_threads(1)
path, repeats = sys.argv[1], int(sys.argv[2])
values = np.fromfile(path, dtype="<f4")
tensor = torch.from_numpy(values)
edges = 10.0 ** np.arange(-12, 0 + 1 / 40, 1 / 40)

CONTENDERS = {
    # 40 bins per decade over twelve decades, as our bins are.
    "torch.histc(log10|g|)": lambda: torch.histc(tensor.abs().log10(), bins=480, min=-12, max=0),
    "numpy.histogram(|g|, edges)": lambda: np.histogram(np.abs(values), bins=edges),
    "numpy.histogram(log10|g|)": lambda: np.histogram(np.log10(np.abs(values)), bins=480, range=(-12, 0)),
    # What experiment trackers do to watch gradients.
    "torch.histc(g), 64 bins": lambda: torch.histc(tensor, bins=64),
}


def seconds(work):
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - start) / repeats


for _line in sys.stdin:
    print(";".join(f"{name}={seconds(work)!r}" for name, work in CONTENDERS.items()), flush=True)
