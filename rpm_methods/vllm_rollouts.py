"""Rollouts drawn by TRL's own vLLM engine or server (`use_vllm`), for the rewards, counts and texts kept here.

TRL starts the engine, hands it the policy's weights before each step, and corrects for the difference between vLLM's
probabilities and the trainer's. What is added: the answer's stop string and ends of turn, a seed for each step, so that
a resumed run draws what it would have drawn, and weights that are exactly the same after each handing over.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from benchmark.seeds import derive_seed
from rpm_methods.merged_adapter import merged
from rpm_methods.processes import weights_in_parts
from scoring.models.backends_vllm import read_drawn
from scoring.models.chat import ChatTokenizer
from scoring.models.generation import answer_text
from scoring.sampling import Rollout


def draw_by_vllm(
    trainer: Any,  # noqa: ANN401 - TRL's GRPOTrainer
    prompts: Sequence[Sequence[int]],
    chat: ChatTokenizer,
    *,
    stop: str,
    seed: int,
) -> tuple[list[Rollout], list[list[float]]]:
    """Return a rollout for each prompt, and vLLM's log-probabilities (nats) of its tokens.

    Args:
        trainer: its engine holds the policy's weights of this step.
        prompts: token ids; each stands as often in a row as it is to be answered.
        chat: the policy's tokenizer.
        stop: the string that ends an answer; empty for none.
        seed: of all draws of this step.
    """
    engine, prompt_ids = trainer.vllm_generation, [list(ids) for ids in prompts]
    engine.generation_kwargs = {
        "stop": [stop] if stop else [],
        "stop_token_ids": chat.end_ids,
        "ignore_eos": True,  # the ends of turn above are all there are
    }
    if engine.mode == "server":  # a request draws all answers to its prompt, each by a seed of its own
        engine.generation_kwargs["seed"] = seed
    ranks = engine.tensor_parallel_size if engine.mode == "colocate" else 1
    with _drawing(derive_seed(seed, str(trainer.accelerator.process_index // ranks))):
        _, drawn, log_probs, _ = engine.generate(prompt_ids, None, trainer.num_generations)
    return [_rollout(chat, ids, stop) for ids in drawn], [[token[0] for token in row] for row in log_probs]


def hand_over_exactly(trainer: Any) -> str:  # noqa: ANN401 - TRL's GRPOTrainer
    """Let the weights be the very tensors that they were after each handing over to vLLM; say how rollouts are drawn.

    TRL adds the adapter to the weights and subtracts it again, which leaves rounding in them, more at each step. Where
    each process holds a part of the weights that is all there is.
    """
    engine, drawn = trainer.vllm_generation, f"rollouts are drawn by vLLM ({trainer.vllm_mode})"
    if weights_in_parts():
        return f"{drawn}; handing over weights that are held in parts leaves rounding in them at each step"
    engine.sync_weights = partial(_hand_over, engine.sync_weights, trainer)
    return drawn


def _hand_over(sync: Any, trainer: Any) -> None:  # noqa: ANN401 - as above
    with merged(trainer.accelerator.unwrap_model(trainer.model)):
        sync()


@contextmanager
def _drawing(seed: int) -> Iterator[None]:
    """Let this process's random numbers, which an engine in it draws by, begin at the seed for a while."""
    import numpy
    import torch
    from transformers import set_seed

    kept, of_numpy = random.getstate(), numpy.random.get_state()
    with torch.random.fork_rng():
        set_seed(seed)
        try:
            yield
        finally:
            random.setstate(kept)
            numpy.random.set_state(of_numpy)


def _rollout(chat: ChatTokenizer, ids: Sequence[int], stop: str) -> Rollout:
    drawn = read_drawn(chat, ids, stop)
    return Rollout(tuple(ids), answer_text(chat, drawn, stop), drawn.finish_reason)
