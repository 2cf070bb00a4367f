"""optax and jnp.mean(where=): NaN outside the mask reaches the gradient."""

import sys

import jax
import jax.numpy as jnp
import optax

x, mask = jnp.array([1.0, jnp.nan]), jnp.array([True, False])
x_recon = jnp.array([2.0, 1.0])


def loss(x_recon):
    """The mean squared error where the mask is true."""
    return jnp.mean(optax.squared_error(x_recon, x), where=mask)


gradient = jax.grad(loss)(x_recon)
print(f"the loss is {loss(x_recon)}, its gradient {gradient.tolist()}")
sys.exit(not bool(jnp.isnan(gradient).any()))
