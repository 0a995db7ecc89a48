"""What the programs should find, by Python's integers, NumPy, and PyTorch in the authors' order of operations."""

import math

import numpy as np
import torch

BINS_PER_DECADE = 40
PERCENTILE = 0.98


def reaches(bits, power):
    """Whether the positive float32 of these bits, to the power of 40, is 10**power or more; in integers, so exactly."""
    exponent, fraction = bits >> 23, bits & 0x7FFFFF
    mantissa, shift = (fraction, -149) if exponent == 0 else (fraction | 0x800000, exponent - 150)
    left, right = mantissa**BINS_PER_DECADE, 1
    left, right = (left << shift * BINS_PER_DECADE, right) if shift >= 0 else (left, right << -shift * BINS_PER_DECADE)
    left, right = (left, right * 10**power) if power >= 0 else (left * 10**-power, right)
    return left >= right


def least_float_at(power):
    """The smallest float32 x with x**40 >= 10**power, found near the float64 guess."""
    bits = int(np.float32(10.0 ** (power / BINS_PER_DECADE)).view(np.uint32))
    while bits > 1 and reaches(bits - 1, power):
        bits -= 1
    while not reaches(bits, power):
        bits += 1
    return np.uint32(bits).view(np.float32)


# From the bin below the least subnormal to the one that holds the greatest float32.
FIRST_BIN, LAST_BIN = -1795, 1541
EDGES = np.array([least_float_at(power) for power in range(FIRST_BIN, LAST_BIN + 1)])


def bins_of(magnitudes):
    """The bins of positive float32 magnitudes."""
    return np.searchsorted(EDGES, magnitudes, side="right") - 1 + FIRST_BIN


def histogram(magnitudes):
    """Counts per bin of the finite magnitudes above zero."""
    counted = magnitudes[(magnitudes > 0) & np.isfinite(magnitudes)]
    bins, counts = np.unique(bins_of(counted), return_counts=True)
    return dict(zip(bins.tolist(), counts.tolist()))


def next_to_an_edge(magnitudes):
    """Whether a positive float32 lies within one unit in the last place of the least float of a bin."""
    bits = magnitudes.view(np.int32)
    edges = EDGES.view(np.int32)
    above = np.searchsorted(edges, bits)
    nearest = [np.abs(edges[np.clip(above + offset, 0, len(edges) - 1)] - bits) for offset in (-1, 0)]
    return np.minimum(*nearest) <= 1


def second_moments(optimizer, gradients, beta1=0.9, beta2=0.999):
    """The second moment after the last step, by the in-place PyTorch operations of the authors' experiment code."""
    second = torch.zeros(gradients.shape[1])
    first = torch.zeros_like(second)
    for row in gradients:
        g = torch.from_numpy(row)
        if optimizer in ("adam", "rmsprop"):
            moved = g
        else:
            first.mul_(beta1).add_(g, alpha=1 - beta1)
            moved = g - first if optimizer == "adabelief" else first
        second.mul_(beta2).addcmul_(moved, moved, value=1 - beta2)
    return second


def root(values, by):
    """The square root by NumPy, which rounds correctly, or by PyTorch, which may not."""
    return torch.from_numpy(np.sqrt(values.numpy())) if by == "numpy" else values.sqrt()


def statistics(optimizer, gradients, beta1=0.9, beta2=0.999, root_by="numpy"):
    """The critical ε of every element, as a float32 array."""
    steps = len(gradients)
    second = second_moments(optimizer, gradients, beta1, beta2)
    if optimizer == "adam":
        return root(second / (1 - beta2**steps), root_by).numpy()
    if optimizer == "rmsprop":
        return root(second, root_by).numpy()
    return (((1 - beta2) * second) / (1 - beta2**steps)).numpy()


def bounds(values, percentile=PERCENTILE):
    """The two order statistics: exact zeros dropped, sorted, no interpolation."""
    ordered = np.sort(values[values != 0])
    n = len(ordered)
    return ordered[int((1 - percentile) * n)], ordered[int(percentile * n)]


def power_of_ten(value):
    """The exponent of the nearest power of ten, as Python rounds."""
    return round(math.log10(value))
