"""Rollouts by TRL's vLLM take the same way through rewards, counts and texts, and leave the weights as they were.

TRL's engine is replaced by one that draws with the model in training, as TRL's own would with the weights handed over.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from test_rollout_training import SETTINGS, length_part, logged, task

from benchmark import Benchmark, PromptRenderer
from benchmark.run_store import read_json, read_jsonl
from rpm_methods.merged_adapter import merged
from rpm_methods.method import TrainContext
from rpm_methods.rollout_source import RewardPart
from rpm_methods.rollout_training import PolicyRolloutSettings, train_on_rollouts
from scoring.models.causal_lm import CausalLM, load_chat
from scoring.models.decoding import Sampler, decode
from scoring.models.generation import Sampling
from scoring.models.resolver import locate_model

STOP = "</Agent Response>"


class Engine:
    """What TRL's VLLMGeneration is to the trainer."""

    made: ClassVar[list["Engine"]] = []

    def __init__(self, model: Any, accelerator: Any, processing_class: Any, **arguments: Any) -> None:  # noqa: ANN401
        """Take what TRL gives."""
        self.model, self.arguments, self.mode = model, arguments, arguments["mode"]
        self.tensor_parallel_size = arguments["tensor_parallel_size"]
        self.generation_kwargs: dict[str, Any] = {}
        self.asked: list[tuple[dict[str, Any], list[list[int]], int]] = []
        self.handed: list[dict[str, torch.Tensor]] = []
        self.vllm_client = self
        Engine.made.append(self)

    def get_server_info(self) -> dict[str, Any]:
        """Say what TRL asks of a server."""
        return {"model_config": {"logprobs_mode": "processed_logprobs"}}

    def sync_weights(self) -> None:
        """Merge, read and take away again as TRL does."""
        self.model.merge_adapter()
        self.handed.append({name: p.data.clone() for name, p in self.model.named_parameters() if "lora" not in name})
        self.model.unmerge_adapter()

    def generate(self, prompts: list[list[int]], images: None, num_generations: int) -> tuple[Any, ...]:
        """Draw with the adapter merged, by the seed given or the process's own."""
        self.asked.append((dict(self.generation_kwargs), prompts, num_generations))
        chat = load_chat(locate_model(self.model.name_or_path))
        seed = self.generation_kwargs.get("seed", torch.initial_seed())
        with merged(self.model) as model:
            lm = CausalLM(model, chat, 4096, torch.device("cpu"))
            sampler = Sampler(1.0, self.arguments["temperature"], torch.Generator().manual_seed(seed))
            drawn = decode(lm, prompts, [STOP] * len(prompts), sampler, self.arguments["max_completion_length"])
            ids = [[*one.ids, *([] if one.end_id is None else [one.end_id])] for one in drawn]
            log_probs = [self._log_probs(model, prompt, row) for prompt, row in zip(prompts, ids, strict=True)]
        return prompts, ids, log_probs, None

    def _log_probs(self, model: Any, prompt: list[int], ids: list[int]) -> list[list[float]]:  # noqa: ANN401
        with torch.inference_mode():
            logits_T_V = model(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1].float()
        scaled = (logits_T_V / self.arguments["temperature"]).log_softmax(dim=1)
        return [[scaled[place, token].item()] for place, token in enumerate(ids)]


@pytest.fixture
def context(tiny_model: Path, mini: Benchmark, renderer: PromptRenderer, tmp_path: Path) -> TrainContext:
    base = locate_model(str(tiny_model))
    return TrainContext(base, "float32", "cpu", mini.train[:4], renderer, Sampling(6), 3, tmp_path)


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> list[Engine]:
    import trl.trainer.grpo_trainer

    monkeypatch.setattr(trl.trainer.grpo_trainer, "VLLMGeneration", Engine)
    monkeypatch.setattr(Engine, "made", [])
    return Engine.made


def settings(mode: str = "colocate", **training: Any) -> PolicyRolloutSettings:  # noqa: ANN401
    by_vllm = SETTINGS["training"] | {"use_vllm": True, "vllm_mode": mode} | training
    return PolicyRolloutSettings.model_validate(SETTINGS | {"training": by_vllm, "keep_rollouts_every": 1})


def test_rollouts_of_vllm_are_rewarded_logged_and_kept_like_others(
    context: TrainContext, engines: list[Engine]
) -> None:
    trained = train_on_rollouts(task(context, RewardPart("length", length_part)), settings(), context)
    (engine,) = engines
    rows = logged(context.folder)
    assert trained.moved
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert len(engine.asked) == len(engine.handed) == 3
    for row in rows:
        assert row["reward"] == pytest.approx(row["rewards/length/mean"], abs=1e-6)
        assert 0 <= row["completions/clipped_share"] <= 1
        assert row["sampling/importance_sampling_ratio/mean"] == pytest.approx(1, abs=1e-3)
    kept = read_jsonl(context.folder / "rollouts.jsonl")
    assert len(kept) == 24
    assert all(row["reward"] == len(row["text"]) / 100 for row in kept)
    assert "rollouts are drawn by vLLM (colocate)" in read_json(context.folder / "preflight.json")["notes"]


def test_vllm_is_told_what_ends_an_answer_and_nothing_that_bends_the_draws(
    context: TrainContext, engines: list[Engine]
) -> None:
    train_on_rollouts(task(context), settings(), context)
    (engine,) = engines
    ends = load_chat(context.base).end_ids
    for given, prompts, group in engine.asked:
        assert given == {"stop": [STOP], "stop_token_ids": ends, "ignore_eos": True}
        assert group == 4
        assert len(prompts) == 8
        assert all(prompts[n] == prompts[n - n % 4] for n in range(8))
    bending = {name: engine.arguments[name] for name in ("repetition_penalty", "top_p", "top_k", "min_p")}
    assert bending == {"repetition_penalty": 1.0, "top_p": 1.0, "top_k": 0, "min_p": None}


def test_handing_weights_over_changes_none_of_them(
    context: TrainContext, engines: list[Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In bfloat16 adding and subtracting an adapter does not give the same weights back."""
    found: list[dict[str, torch.Tensor]] = []
    handed_over = Engine.generate

    def looked_at(self: Engine, *arguments: Any) -> Any:  # noqa: ANN401
        found.append({n: p.data.clone() for n, p in self.model.named_parameters() if "base_layer" in n})
        return handed_over(self, *arguments)

    monkeypatch.setattr(Engine, "generate", looked_at)
    train_on_rollouts(task(context), settings(), replace(context, dtype="bfloat16"))
    (engine,) = engines
    first, *later = found
    assert first
    assert all(torch.equal(first[name], other[name]) for other in later for name in first)
    assert any(not torch.equal(first[name], engine.handed[-1][name]) for name in first)


@pytest.mark.parametrize("mode", ["colocate", "server"])
def test_a_resumed_run_draws_what_it_would_have_drawn(
    context: TrainContext, engines: list[Engine], monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    straight = replace(context, folder=context.folder / "straight")
    straight.folder.mkdir()
    train_on_rollouts(task(straight), settings(mode), straight)

    def interrupted(self: Engine, *arguments: Any) -> Sequence[object]:  # noqa: ANN401
        if len(self.asked) == 2:
            raise KeyboardInterrupt
        return drawn(self, *arguments)

    drawn = Engine.generate
    with monkeypatch.context() as patch:
        patch.setattr(Engine, "generate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train_on_rollouts(task(context), settings(mode), context)
    train_on_rollouts(task(context), settings(mode), context)
    one, other = (read_jsonl(made.folder / "rollouts.jsonl") for made in (straight, context))
    assert one == other
    assert len({tuple(row["text"] for row in one if row["step"] == step) for step in (1, 2, 3)}) == 3
    seeds = [given.get("seed") for given, _, _ in engines[0].asked]
    assert len(set(seeds)) == (3 if mode == "server" else 1)
