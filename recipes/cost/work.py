"""Pieces of work that run at one rate: what passes through a model, how many operations, how much memory traffic.

Operations are those that are made: a product and a sum count as two, attention looks at half of a sequence's own
tokens on average, and weights that are frozen get no gradients.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from recipes.cost.model_shape import BYTES, ModelShape

Kind = Literal["scoring", "training", "decoding", "processor"]
Precision = Literal["bfloat16", "float32"]


@dataclass(frozen=True)
class Work:
    """One piece of a stage."""

    name: str
    kind: Kind
    tokens: float = 0.0
    """That pass through a model, prompts and answers; a token that passes twice counts twice."""
    operations: float = 0.0
    bytes_read: float = 0.0
    """From the device's memory: weights in each pass, and the cache of keys and values."""
    layer_passes: float = 0.0
    """Passes through the model, times its layers."""
    precision: Precision = "bfloat16"
    seconds: float = 0.0
    """Of work of the processor, which is timed and not counted."""
    starts: float = 0.0
    """Models that are made ready before it."""
    loaded: float = 0.0
    """Bytes of weights that are read from disk for that."""
    memory: float = 0.0
    """Bytes that are held while it is done: on one device, or for work of the processor on the host."""


@dataclass(frozen=True)
class Sequences:
    """Equal sequences that pass through a model."""

    count: float
    tokens: float
    """Of each, without what is in the cache already."""
    before: float = 0.0
    """Tokens in the cache that each looks back on."""
    scored: float = 0.0
    """Positions of each at which the vocabulary is projected."""


def forward(
    name: str, shape: ModelShape, *sequences: Sequences, passes: float, precision: Precision, memory: float
) -> Work:
    """Return forward passes without gradients."""
    operations = sum(_forward_operations(shape, one) for one in sequences)
    looked_back = sum(one.count * one.before for one in sequences)
    weights = passes * (shape.body + shape.head) * BYTES[precision]
    return Work(
        name=name,
        kind="scoring",
        tokens=sum(one.count * one.tokens for one in sequences),
        operations=operations,
        bytes_read=weights + looked_back * shape.cache_numbers * BYTES[precision],
        layer_passes=passes * shape.layers,
        precision=precision,
        memory=memory,
    )


def train(
    name: str,
    shape: ModelShape,
    *sequences: Sequences,
    passes: float,
    rank: int,
    checkpointing: bool,
    precision: Precision,
    memory: float,
) -> Work:
    """Return forward and backward passes of a LoRA adapter on frozen weights.

    The backward pass goes through every matrix once, for the gradient of what comes into it; attention takes twice its
    forward operations. Checkpointing makes the forward pass a second time. The adapter has gradients of its own.
    """
    forwards = 2 if checkpointing else 1
    operations = 0.0
    for one in sequences:
        matrices = one.count * (one.tokens * shape.token_operations + one.scored * shape.head_operations)
        attention = one.count * _attention(shape, one)
        adapter = one.count * one.tokens * 2 * shape.adapter(rank)
        operations += (forwards + 1) * matrices + (forwards + 2) * (attention + adapter)
    weights = (forwards + 1) * passes * (shape.body + shape.head) * BYTES[precision]
    return Work(
        name=name,
        kind="training",
        tokens=sum(one.count * one.tokens for one in sequences),
        operations=operations,
        bytes_read=weights,
        layer_passes=(forwards + 1) * passes * shape.layers,
        precision=precision,
        memory=memory,
    )


def decode(
    name: str,
    shape: ModelShape,
    *,
    rows: float,
    context: float,
    tokens: float,
    steps: float,
    batches: float,
    together: float,
    precision: Precision,
    memory: float,
) -> Work:
    """Return decoding, one token a step for all rows of a batch.

    Args:
        name: what is decoded.
        shape: the model.
        rows: answers.
        context: tokens of a row's prompt.
        tokens: of each answer, on average.
        steps: of each batch, which goes on until its longest answer ends.
        batches: into which the answers are divided.
        together: answers to one prompt that read its cache at the same time.
        precision: number format of weights and cache.
        memory: bytes held.
    """
    looked_back = context + steps / 2
    each = shape.token_operations + shape.head_operations + shape.key_operations * looked_back
    weights = (shape.body + shape.head) * BYTES[precision]
    cache = (context / together + steps / 2) * shape.cache_numbers * BYTES[precision]
    return Work(
        name=name,
        kind="decoding",
        tokens=rows * tokens,
        operations=rows * steps * each,
        bytes_read=batches * steps * weights + rows * steps * cache,
        layer_passes=batches * steps * shape.layers,
        precision=precision,
        memory=memory,
    )


def begun(works: Sequence[Work], shape: ModelShape, models: int = 1) -> list[Work]:
    """Return work before which a model is loaded, or several of one size."""
    first, *others = works
    loaded = float(models * shape.parameters * BYTES["bfloat16"])
    return [replace(first, starts=first.starts + models, loaded=first.loaded + loaded), *others]


def repeated(works: Sequence[Work], times: float) -> list[Work]:
    """Return work that is done so many times over."""
    return [
        replace(
            work,
            tokens=work.tokens * times,
            operations=work.operations * times,
            bytes_read=work.bytes_read * times,
            layer_passes=work.layer_passes * times,
            seconds=work.seconds * times,
            starts=work.starts * times,
            loaded=work.loaded * times,
        )
        for work in works
    ]


def _forward_operations(shape: ModelShape, one: Sequences) -> float:
    matrices = one.tokens * shape.token_operations + one.scored * shape.head_operations
    return one.count * (matrices + _attention(shape, one))


def _attention(shape: ModelShape, one: Sequences) -> float:
    return shape.key_operations * one.tokens * (one.before + one.tokens / 2)
