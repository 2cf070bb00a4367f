"""Keras on PyTorch: `MeanSquaredError` of a prediction that carries a mask."""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
import reasons
from torch import Tensor
from wavemae.properties import Claims, Subject

PACKAGE = "keras"
CALLS = "keras.losses.MeanSquaredError"
MASK = "as the prediction's Keras mask; one feature"
NOT_CLAIMED = {
    "reductions": reasons.NO_BATCH_MEAN,
    "dtypes": 'docstring: "dtype ... Defaults to `None`, which means using '
    '`keras.backend.floatx()`", that is float32',
    "data_independent": "Keras on PyTorch puts what it is given on its own default device",
    "distributed": reasons.ONE_PROCESS,
    "strict_inputs": reasons.NO_CHECKS,
}


def masked_mse(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: str = "mean") -> Tensor:
    """The mean over what Keras' mask lets through, or the sum."""
    prediction = x_recon[:, :, None]
    prediction._keras_mask = mask  # type: ignore[attr-defined]  # as Keras' layers hand it on
    loss: Tensor = keras.losses.MeanSquaredError(reduction=reduction)(x[:, :, None], prediction)
    return loss


SUBJECT = Subject(
    "Keras",
    masked_mse=masked_mse,
    claims=Claims(
        dtypes=("float32", "float16", "bfloat16"),
        reductions=("mean", "sum"),
        data_independent=False,
        distributed=False,
        strict_inputs=False,
    ),
    imports="from keras_mask import masked_mse",
)
