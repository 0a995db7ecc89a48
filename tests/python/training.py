"""Small trainings to record from Python, and what their recordings hold."""

import numpy as np
import pyarrow.compute as pc
import torch
from torch import nn

from runs import manifest, read


def tiny(seed=0):
    """A network of four tensors, one of them larger than a sample of 64."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


def batches(n_batches, seed=1):
    """Inputs and targets."""
    generator = torch.Generator().manual_seed(seed)
    return [(torch.randn(32, 8, generator=generator), torch.randn(32, 4, generator=generator)) for _ in range(n_batches)]


def loss_of(model, batch):
    """The mean squared error."""
    return nn.functional.mse_loss(model(batch[0]), batch[1])


def closure_of(model, optimizer):
    """A closure for the optimizer's step, and the gradients of each of its calls, by name."""
    gradients = []

    def closure():
        optimizer.zero_grad()
        loss = loss_of(model, batches(1)[0])
        loss.backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters()})
        return loss

    return closure, gradients


def train(model, optimizer, n_steps=5, before=None, after=None):
    """A plain loop; gives the gradients that entered each step, by name."""
    gradients = []
    for batch in batches(n_steps):
        optimizer.zero_grad()
        loss = loss_of(model, batch)
        loss.backward()
        gradients.append({name: p.grad.detach().clone() for name, p in model.named_parameters() if p.grad is not None})
        if before:
            before(loss)
        optimizer.step()
        if after:
            after(loss)
    return gradients


def values(run, quantity="gradient"):
    """The recorded signed values: {(step, tensor): (elements, values)}."""
    table = read(run, "magnitudes")
    steps, tensors = table["step"].to_numpy(), np.array(table["tensor"].to_pylist(), dtype=str)
    quantities = np.array(table["quantity"].to_pylist(), dtype=str)
    signed = np.where(table["negative"].to_numpy(zero_copy_only=False).astype(bool), -1, 1).astype(np.float32)
    signed = signed * table["magnitude"].to_numpy()
    elements = table["element"].to_numpy()
    found = {}
    for step, tensor in sorted(set(zip(steps[quantities == quantity].tolist(), tensors[quantities == quantity]))):
        rows = (steps == step) & (tensors == tensor) & (quantities == quantity)
        order = np.argsort(elements[rows])
        found[step, str(tensor)] = elements[rows][order], signed[rows][order]
    return found


def table_of(run, name, quantity=None):
    """A table in the order of its keys, but for times; of one quantity if named."""
    table = read(run, name)
    if quantity is not None:
        table = table.filter(pc.field("quantity") == quantity)
    keys = [key for key in ("step", "tensor", "quantity", "bin", "element", "name") if key in table.column_names]
    return table.drop_columns([key for key in ("time",) if key in table.column_names]).sort_by(
        [(key, "ascending") for key in keys]
    )


def rows(run, name, quantity=None):
    """The rows of a table in the order of their keys, but for times; of one quantity if named."""
    return table_of(run, name, quantity).to_pylist()


def steps(run):
    """The rows of `steps` by step."""
    return {row["step"]: row for row in rows(run, "steps")}


def is_finished_without_losses(run):
    """Whether everything was kept."""
    found = manifest(run)
    return found["status"] == "finished" and found["losses"] == {"dropped_steps": 0, "faults": []}
