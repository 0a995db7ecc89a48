"""What is recorded is what PyTorch's autograd computes on the same network, images, seed and dropout."""

import numpy as np
import pytest
import torch

import network
from runs import manifest, read, signed_gradients


@pytest.fixture(autouse=True)
def one_thread():
    """Sums in the recorder's order."""
    torch.set_num_threads(1)


def test_gradients_are_those_of_autograd(every, gradients):
    p = network.parameters(seed=0)
    recorded_losses = read(every, "steps").sort_by("step")["loss"].to_numpy()
    for step, loss in enumerate(network.losses(p, len(recorded_losses))):
        assert loss == pytest.approx(recorded_losses[step], rel=1e-6)
        for tensor, parameter in p.items():
            expected = parameter.grad.numpy().ravel()
            # Equal to the last bit where both use the same libtorch build; another may add in another order.
            tolerance = 1e-5 * np.abs(expected).max()
            np.testing.assert_allclose(gradients[tensor][step], expected, rtol=0, atol=tolerance, err_msg=tensor)


def test_recording_leaves_training_as_it_is(trained):
    """A loop without any recorder has the same losses: neither parameters nor random numbers are touched."""
    recorded = read(trained, "steps").sort_by("step")["loss"].to_numpy()
    p = network.parameters(seed=0)
    optimizer = torch.optim.Adam(p.values(), lr=1e-3, eps=1e-8)
    expected = []
    for loss in network.losses(p, len(recorded)):
        expected.append(loss)
        optimizer.step()
    # The C++ and the Python Adam round differently, and training amplifies it.
    np.testing.assert_allclose(recorded, expected, rtol=1e-3)
    assert expected[-1] < 0.7 * expected[0], "the losses differ too little to tell training from none"


def test_coupled_weight_decay_is_in_the_gradient(decayed, gradients):
    """g + w·p with the weights as they were drawn, rounded as `grad.add(p, alpha=w)` rounds it."""
    assert manifest(decayed)["gradient"]["coupled_weight_decay"] == 1e-2
    recorded, _ = signed_gradients(decayed)
    for tensor, parameter in network.parameters(seed=0).items():
        plain = torch.from_numpy(gradients[tensor])
        expected = plain.add(parameter.detach().flatten(), alpha=1e-2).numpy()
        np.testing.assert_array_equal(recorded[tensor], expected, err_msg=tensor)
    assert (recorded["fc1.weight"] != gradients["fc1.weight"]).any()


def test_decoupled_weight_decay_is_not_in_the_gradient(decoupled, gradients):
    assert manifest(decoupled)["gradient"]["coupled_weight_decay"] == 0
    assert manifest(decoupled)["optimizer"]["weight_decay"] == 1e-2
    recorded, _ = signed_gradients(decoupled)
    for tensor, expected in gradients.items():
        np.testing.assert_array_equal(recorded[tensor], expected, err_msg=tensor)


def test_a_sample_holds_the_same_values(sampled, gradients):
    """256 elements of each tensor, the same at every step, with the values that recording every element gives."""
    recorded, elements = signed_gradients(sampled)
    assert recorded.keys() == gradients.keys()
    for tensor, indices in elements.items():
        n_elements = gradients[tensor].shape[1]
        assert len(indices) == min(256, n_elements), tensor
        assert len(np.unique(indices)) == len(indices), tensor
        np.testing.assert_array_equal(recorded[tensor], gradients[tensor][:, indices], err_msg=tensor)
    # Not the first ones, and not a block: an even draw leaves no tenth of the tensor empty (chance 2e-11).
    tenths = np.bincount(elements["fc1.weight"] * 10 // gradients["fc1.weight"].shape[1], minlength=10)
    assert (tenths > 0).all()
