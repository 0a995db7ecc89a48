"""The recorder's reference CNN and its batches in PyTorch, whose autograd says what the gradients are."""

import gzip
import math

import numpy as np
import torch
import torch.nn.functional as F

from runs import ROOT

DATA = ROOT / "data" / "fashion-mnist-subset"


def read_idx(name):
    """An IDX file of bytes: two zeros, type, number of dimensions, the dimensions, the values."""
    content = gzip.decompress((DATA / f"{name}.gz").read_bytes())
    n_dimensions = content[3]
    shape = np.frombuffer(content, ">i4", n_dimensions, offset=4)
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=4 + 4 * n_dimensions).reshape(shape).copy())


def uniform(bound, *shape):
    """A parameter drawn from U(-bound, bound)."""
    return torch.zeros(shape).uniform_(-bound, bound).requires_grad_()


def parameters(seed):
    """Initial parameters, in the order in which they are drawn.

    Weights by He's uniform rule, biases of linear layers within 1/sqrt(inputs), those of convolutions zero.
    """
    torch.manual_seed(seed)
    drawn = {}
    for name, inputs, outputs in [("conv1", 1, 16), ("conv2", 16, 32)]:
        drawn[f"{name}.bias"] = torch.zeros(outputs, requires_grad=True)
        drawn[f"{name}.weight"] = uniform(math.sqrt(6 / (inputs * 9)), outputs, inputs, 3, 3)
    for name, inputs, outputs in [("fc1", 32 * 7 * 7, 128), ("fc2", 128, 10)]:
        drawn[f"{name}.bias"] = uniform(1 / math.sqrt(inputs), outputs)
        drawn[f"{name}.weight"] = uniform(math.sqrt(6 / inputs), outputs, inputs)
    return drawn


def logits(images, p):
    """The network in training mode."""
    features = F.max_pool2d(F.relu(F.conv2d(images, p["conv1.weight"], p["conv1.bias"], padding=1)), 2)
    features = F.max_pool2d(F.relu(F.conv2d(features, p["conv2.weight"], p["conv2.bias"], padding=1)), 2)
    features = F.dropout(features.flatten(1), 0.25, training=True)
    hidden = F.relu(F.linear(features, p["fc1.weight"], p["fc1.bias"]))
    return F.linear(hidden, p["fc2.weight"], p["fc2.bias"])


def losses(p, steps, batch_size=64):
    """The loss of each step of the first epoch, its gradients in the parameters."""
    images, labels = read_idx("train-images-idx3-ubyte").unsqueeze(1), read_idx("train-labels-idx1-ubyte").long()
    for batch in torch.randperm(len(labels)).split(batch_size)[:steps]:
        for parameter in p.values():
            parameter.grad = None
        loss = F.cross_entropy(logits(images[batch].float() / 255, p), labels[batch])
        loss.backward()
        yield loss.item()
