"""Other people's implementations as oracles, on ordinary rows, where they are right.

SciPy belongs to the environment of the book; torch and JAX are compared with where they are
installed.  Their own errors set the tolerances: a few tens of ULP relatively (1e-13), and for
logarithms near 0, which they get by absorbing s in 1 + s, 4 u absolutely.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from generators import generator

import softmax_ref as sr

ABSORBED = 4 * 2.0**-53
SHAPES = [(5,), (7, 4), (3, 4, 5)]


@pytest.mark.parametrize("shape", SHAPES)
def test_scipy(shape: tuple[int, ...]) -> None:
    special = pytest.importorskip("scipy.special", reason="SciPy is not installed")
    z = generator(f"scipy {shape}").normal(size=shape) * 3
    for axis in [*range(len(shape)), None, tuple(range(len(shape)))]:
        np.testing.assert_allclose(
            sr.softmax(z, axis=axis), special.softmax(z, axis=axis), rtol=1e-13
        )
        np.testing.assert_allclose(
            sr.log_softmax(z, axis=axis),
            special.log_softmax(z, axis=axis),
            rtol=1e-13,
            atol=ABSORBED,
        )
        for keepdims in (False, True):
            np.testing.assert_allclose(
                sr.logsumexp(z, axis=axis, keepdims=keepdims),
                special.logsumexp(z, axis=axis, keepdims=keepdims),
                rtol=1e-13,
            )


def test_scipy_binary_functions() -> None:
    """expit, log_expit: two classes, accurate in both tails."""
    special = pytest.importorskip("scipy.special", reason="SciPy is not installed")
    x = np.linspace(-700, 700, 301)
    z = np.stack([np.zeros_like(x), x], axis=1)
    np.testing.assert_allclose(sr.softmax(z)[:, 1], special.expit(x), rtol=2e-15)
    np.testing.assert_allclose(sr.softmax_complement(z)[:, 1], special.expit(-x), rtol=2e-15)
    np.testing.assert_allclose(sr.log_softmax(z)[:, 1], special.log_expit(x), rtol=2e-15)


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="torch is not installed (a peer, not a requirement)")


def test_torch_forward(torch) -> None:
    z = generator("torch").normal(size=(6, 5)) * 3
    tensor = torch.tensor(z)
    np.testing.assert_allclose(sr.softmax(z), torch.softmax(tensor, 1).numpy(), rtol=1e-13)
    np.testing.assert_allclose(
        sr.log_softmax(z), torch.log_softmax(tensor, 1).numpy(), rtol=1e-13, atol=ABSORBED
    )
    np.testing.assert_allclose(sr.logsumexp(z), torch.logsumexp(tensor, 1).numpy(), rtol=1e-13)


@pytest.mark.parametrize(
    "options",
    list(
        itertools.product(
            ("none", "sum", "mean"), (None, [0.5, 2.0, 1.0, 3.0, 0.1]), (None, 3), (0.0, 0.1, 1.0)
        )
    ),
)
def test_torch_autograd_over_the_option_matrix(torch, options: tuple) -> None:
    reduction, weight, ignore, smoothing = options
    z = generator("torch options").normal(size=(8, 5)) * 3
    labels = np.arange(8) % 5
    tensor = torch.tensor(z, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(
        tensor,
        torch.tensor(labels),
        reduction=reduction,
        label_smoothing=smoothing,
        weight=None if weight is None else torch.tensor(weight, dtype=torch.float64),
        ignore_index=-100 if ignore is None else ignore,
    )
    loss.sum().backward()
    value, gradient = sr.cross_entropy_value_and_grad(
        z,
        labels,
        reduction=reduction,
        weight=weight,
        ignore_index=ignore,
        label_smoothing=smoothing,
    )
    np.testing.assert_allclose(value, loss.detach().numpy(), rtol=1e-13, atol=8 * ABSORBED)
    # components that cancel are compared with the largest one
    np.testing.assert_allclose(
        gradient, tensor.grad.numpy(), rtol=1e-12, atol=1e-14 * abs(gradient).max()
    )


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_torch_autograd_of_soft_targets(torch, reduction: str) -> None:
    rng = generator("torch soft")
    z, targets = rng.normal(size=(6, 5)) * 3, rng.random((6, 5)) * 2
    tensor = torch.tensor(z, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(tensor, torch.tensor(targets), reduction=reduction)
    loss.sum().backward()
    value, gradient = sr.soft_cross_entropy_value_and_grad(z, targets, reduction=reduction)
    np.testing.assert_allclose(value, loss.detach().numpy(), rtol=1e-13, atol=8 * ABSORBED)
    np.testing.assert_allclose(
        gradient, tensor.grad.numpy(), rtol=1e-12, atol=1e-14 * abs(gradient).max()
    )


def test_torch_autograd_jacobians(torch) -> None:
    rng = generator("torch jacobian")
    z, g = rng.normal(size=(2, 6)) * 3
    tensor = torch.tensor(z, requires_grad=True)
    jacobian = torch.autograd.functional.jacobian(lambda t: torch.softmax(t, 0), tensor)
    np.testing.assert_allclose(sr.softmax_jacobian(z), jacobian.numpy(), rtol=1e-12, atol=1e-17)
    jacobian = torch.autograd.functional.jacobian(lambda t: torch.log_softmax(t, 0), tensor)
    np.testing.assert_allclose(sr.log_softmax_jacobian(z), jacobian.numpy(), rtol=1e-12, atol=1e-17)
    torch.softmax(tensor, 0).backward(torch.tensor(g))
    np.testing.assert_allclose(sr.softmax_vjp(z, g), tensor.grad.numpy(), rtol=1e-12, atol=1e-15)


def test_torch_loses_what_we_keep(torch) -> None:
    """If this fails torch has been repaired: then the book must say so."""
    tensor = torch.tensor([[0.0, 40.0]], dtype=torch.float64, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(tensor, torch.tensor([1]))
    loss.backward()
    assert loss.item() == 0 and tensor.grad[0, 1].item() == 0 < tensor.grad[0, 0].item()


def test_jax() -> None:
    jax = pytest.importorskip("jax", reason="JAX is not installed (a peer, not a requirement)")
    jax.config.update("jax_enable_x64", True)
    z = generator("jax").normal(size=(6, 5)) * 3
    labels = np.arange(6) % 5
    np.testing.assert_allclose(sr.softmax(z), jax.nn.softmax(z), rtol=1e-13)
    np.testing.assert_allclose(sr.log_softmax(z), jax.nn.log_softmax(z), rtol=1e-13, atol=ABSORBED)
    np.testing.assert_allclose(sr.logsumexp(z), jax.nn.logsumexp(z, axis=-1), rtol=1e-13)

    def loss(x):
        return -jax.nn.log_softmax(x)[np.arange(6), labels].mean()

    np.testing.assert_allclose(
        sr.cross_entropy_grad(z, labels), jax.grad(loss)(z), rtol=1e-12, atol=1e-16
    )
    np.testing.assert_allclose(
        sr.softmax_jacobian(z[0]), jax.jacobian(jax.nn.softmax)(z[0]), rtol=1e-12, atol=1e-17
    )
