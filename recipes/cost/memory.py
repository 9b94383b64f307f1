"""Memory of a stage: a formula a sort of work, in bytes on one device.

    all        weights + what the program itself holds
    training   + adapter with gradients and Adam's state + activations + logits of the supervised positions
    decoding   + cache of all rows of a batch, at its widest + logits of a step
    rollouts   the larger of training and decoding, + a merged copy of the layers' weights, + the model that rewards

Activations with checkpointing are the inputs of all layers and the inside of one; without it the inside of all.
"""

from dataclasses import dataclass

from recipes.cost.model_shape import BYTES, ModelShape
from recipes.cost.work import Precision

PROGRAM = 1.8e9
"""Bytes of Python, torch and its kernels."""
ADAPTER_BYTES = 16
"""Of one weight in training: float32, with its gradient and the two moments of Adam."""
LOGIT_BYTES = 10
"""Of one logit in training: in the model's format, in float32, and its gradient."""
STEP_LOGIT_BYTES = 16
"""Of one logit of a decoding step: float32, damped, and summed up in float64 for drawing."""


@dataclass(frozen=True)
class Batch:
    """What is in memory at a time."""

    rows: float
    width: float
    """Tokens of the longest row."""
    scored: float
    """Positions of a row at which the vocabulary is projected."""


def weights(shape: ModelShape, precision: Precision) -> float:
    """Return the bytes of a model's weights."""
    return float(shape.parameters * BYTES[precision])


def training(
    shape: ModelShape, batch: Batch, precision: Precision, *, rank: int, checkpointing: bool, keeps_attention: bool
) -> float:
    """Return the bytes of training an adapter; `keeps_attention` where a padded batch keeps its attention weights."""
    number, tokens = BYTES[precision], batch.rows * batch.width
    layers = shape.layers * (shape.hidden if checkpointing else shape.inner_numbers)
    inside = tokens * (layers + (shape.inner_numbers if checkpointing else 0)) * number
    if keeps_attention:
        inside += 2 * shape.layers * shape.heads * tokens * batch.width * number
    logits = batch.rows * batch.scored * shape.vocabulary * LOGIT_BYTES
    return PROGRAM + weights(shape, precision) + shape.adapter(rank) * ADAPTER_BYTES + inside + logits


def decoding(shape: ModelShape, batch: Batch, precision: Precision) -> float:
    """Return the bytes of decoding a batch whose rows are `width` tokens with their answers."""
    cache = batch.rows * batch.width * shape.cache_numbers * BYTES[precision]
    return PROGRAM + weights(shape, precision) + cache + batch.rows * shape.vocabulary * STEP_LOGIT_BYTES


def scoring(shape: ModelShape, batch: Batch, before: float, precision: Precision) -> float:
    """Return the bytes of scoring a batch of continuations behind a prefix of `before` tokens.

    The prefix is held once; one layer at a time holds it for every row, with the inside of that layer.
    """
    number = BYTES[precision]
    tokens = batch.rows * batch.width
    held = before * shape.cache_numbers + batch.rows * before * shape.cache_numbers / shape.layers
    return PROGRAM + weights(shape, precision) + (held + tokens * shape.inner_numbers) * number


def merged_copy(shape: ModelShape, precision: Precision) -> float:
    """Return the bytes of the layers' weights with an adapter merged into them, beside those without it."""
    return float(shape.body * BYTES[precision])
