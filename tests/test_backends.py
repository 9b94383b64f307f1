"""Which engine answers is a setting: found out before anything runs, part of the key but for the default, and told."""

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from endpoint_helpers import Asked, Reply, serve
from recipe_helpers import BRIEF, base_estimator, write_recipes
from test_server_backend import completions

from benchmark import Benchmark, PromptRenderer, RunFailure, UserMistakes
from benchmark.progress import SilentProgress
from benchmark.run_store import RunStore, read_json, read_jsonl
from recipes.cli import main
from recipes.comparison import prepare_comparison
from recipes.environment import Compute
from recipes.plan import Planner
from rpm_methods.grpo import GRPOSettings
from rpm_methods.rollout_training import RolloutSettings
from rpm_methods.thinking_rl import ThinkingRLSettings
from scoring.models import generation, vllm_version
from scoring.models.backends import TransformersBackend
from scoring.models.causal_lm import CausalLM
from scoring.models.generation import Generation, Sampling

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def recipes(tmp_path: Path, tiny_model: Path, tiny_embedding: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    base = BRIEF.format(model=tiny_model, embedding=tiny_embedding)
    return write_recipes(tmp_path, base, {"icl": "config: {examples: 1}", "grpo": ""}, base_estimator(tiny_model))


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def invoke(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["rpm-methods", *arguments])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as caught:
            main()
        shown = capsys.readouterr()
        return int(caught.value.code or 0), shown.out + shown.err

    return invoke


def keys(out: Path, *overrides: str) -> dict[str, str]:
    """Return the keys of all stages of the comparison under these settings."""
    comparison = prepare_comparison(["icl.yaml"], list(overrides))
    planner = Planner(comparison, Compute("cpu", "float32", 1), RunStore(out), SilentProgress())
    return {stage.name: stage.key for stage in planner.stages()}


def test_the_default_engine_adds_nothing_to_the_key_of_responses(recipes: Path, tmp_path: Path) -> None:
    comparison = prepare_comparison(["icl.yaml"], [])
    planner = Planner(comparison, Compute("cpu", "float32", 1), RunStore(tmp_path), SilentProgress())
    found = {stage.name: stage.key for stage in planner.stages()}
    hashes = [sample.content_hash for sample in comparison.test_samples]
    parts = [found["policy/icl"], hashes, asdict(Sampling(max_new_tokens=4))]
    assert found["responses/icl"] == planner._scoring.key("responses", parts, 42)


def test_another_engine_makes_responses_anew_and_trains_nothing_anew(recipes: Path, tmp_path: Path) -> None:
    server = "generation.server={url: 'http://127.0.0.1:1/v1', model: m}"
    default = keys(tmp_path)
    assert keys(tmp_path, server, "generation.vllm={tensor_parallel: 2}") == default
    served = keys(tmp_path, server, "generation.backend=server")
    assert served["policy/icl"] == default["policy/icl"]
    assert served["responses/icl"] != default["responses/icl"]
    moved = keys(tmp_path, server, "generation.backend=server", "generation.server.url=http://127.0.0.1:2/v1")
    assert moved == served
    renamed = keys(tmp_path, server, "generation.backend=server", "generation.server.model=other")
    assert renamed["responses/icl"] != served["responses/icl"]


def test_the_version_of_vllm_is_part_of_the_key(recipes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for found in ("0.31.0", "0.31.1+cpu"):
        for place in ("scoring.models.vllm_version", "scoring.models.backend_settings"):
            monkeypatch.setattr(f"{place}.vllm_version", lambda found=found: found)
        made.append(keys(tmp_path, "generation.backend=vllm"))
    assert made[0]["responses/icl"] != made[1]["responses/icl"]
    assert made[0]["policy/icl"] == made[1]["policy/icl"]


@pytest.mark.parametrize(
    ("found", "said"),
    [(None, "vLLM is not installed"), ("0.30.2", "vLLM 0.30.2 is installed, and 0.31.* is what this was tested with")],
)
def test_vllm_that_cannot_be_used_is_one_sentence_before_anything_runs(
    recipes: Path, call: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: str | None, said: str
) -> None:
    monkeypatch.setattr(vllm_version, "vllm_version", lambda: found)
    code, shown = call("run", "icl.yaml", "--set", "generation.backend=vllm", "--out", str(tmp_path / "out"))
    assert code == 2
    assert f"icl.yaml: generation.backend: {said}; install vLLM in an environment of its own" in shown
    assert "1 mistake to correct" in shown
    assert not (tmp_path / "out").exists()


def test_doctor_says_whether_vllm_can_be_used(call: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for found, said in ((None, "vLLM is not installed"), ("0.31.0", "0.31.0, usable")):
        monkeypatch.setattr(vllm_version, "vllm_version", lambda found=found: found)
        assert said in call("doctor")[1]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["generation.backend=server"], "backend server needs its url and model"),
        (["generation.backend=sglang"], "generation.backend: input should be 'transformers', 'vllm' or 'server'"),
        (["generation.vllm.gpu_memory=0.5"], "generation.vllm.gpu_memory: unknown key; did you mean"),
        (["generation.server={url: 'http://somewhere/v1', model: m}"], "would send key and texts in the clear"),
        (
            ["generation.backend=server", "generation.server={url: 'https://a/v1', model: m, dialect: openai}"],
            "dialect openai has no repetition penalty",
        ),
        (
            ["generation.backend=server", "generation.server={url: 'https://a/v1', model: {sft: m}}"],
            "generation.server.model: names no model for icl",
        ),
    ],
)
def test_settings_of_engines_are_checked_with_the_recipe(recipes: Path, overrides: list[str], said: str) -> None:
    with pytest.raises(UserMistakes) as caught:
        prepare_comparison(["icl.yaml"], overrides)
    assert said in str(caught.value)


def test_a_run_by_a_server_equals_one_by_transformers_and_names_its_engine(
    recipes: Path, call: Run, tiny_lm: CausalLM, tmp_path: Path
) -> None:
    with serve(completions(tiny_lm)) as server:
        setting = (
            f"generation={{backend: server, max_new_tokens: 4, server: {{url: '{server.url}', model: {{icl: m}}}}}}"
        )
        assert call("run", "icl.yaml", "--set", setting, "--out", str(tmp_path / "served"))[0] == 0
    assert call("run", "icl.yaml", "--out", str(tmp_path / "own"))[0] == 0
    served, own = (read_jsonl(tmp_path / name / "responses" / "icl.jsonl") for name in ("served", "own"))
    assert served == own
    assert read_json(tmp_path / "served" / "manifest.json")["backends"] == [
        {"backend": "server", "model": "m", "sent": ["tokens", "vllm"]}
    ]
    assert read_json(tmp_path / "own" / "manifest.json")["backends"] == [{"backend": "transformers"}]


def test_too_little_memory_names_the_setting_and_keeps_the_batches_before(
    tiny_lm: CausalLM, renderer: PromptRenderer, mini: Benchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [renderer.render("response", mini.test[key][0]) for key in ("id", "german", "japanese")]
    sampling, decode, calls = Sampling(max_new_tokens=4, batch_tokens=2500), generation.decode, iter(range(9))

    def narrow(*arguments: Any) -> Any:  # noqa: ANN401
        if next(calls):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.00 GiB")
        return decode(*arguments)

    monkeypatch.setattr(generation, "decode", narrow)
    made: list[list[tuple[int, Generation]]] = []
    with pytest.raises(RunFailure, match=r"out of memory while answering .*lower generation\.batch_tokens"):
        for batch in TransformersBackend(tiny_lm).generate(prompts, sampling):
            made.append(batch)
    assert len(made) == 1


def test_responses_name_the_samples_that_got_no_answer(
    recipes: Path, call: Run, tiny_lm: CausalLM, tmp_path: Path
) -> None:
    answered = completions(tiny_lm)

    def reply(asked: Asked) -> Reply:
        return Reply(400, "no") if asked is server.asked[0] else answered(asked)

    with serve(reply) as server:
        setting = f"generation={{backend: server, max_new_tokens: 4, server: {{url: '{server.url}', model: m}}}}"
        command = ["run", "icl.yaml", "--set", setting, "--out", str(tmp_path / "out")]
        code, shown = call(*command)
        assert code == 1
        assert "no answer came to" in shown
        before = len(server.asked)
        assert call(*command)[0] == 0
    assert len(server.asked) == before + 1


@pytest.mark.parametrize("settings", [GRPOSettings, ThinkingRLSettings])
def test_trls_use_of_vllm_is_passed_through_for_policies(settings: type[RolloutSettings]) -> None:
    training = {"use_vllm": True, "vllm_mode": "server", "vllm_server_base_url": "http://127.0.0.1:8000"}
    assert settings.model_validate({"training": training}).training == training
    with pytest.raises(ValueError, match="'vllm_structured_outputs_regex' is set by the recipe's other keys"):
        settings.model_validate({"training": {**training, "vllm_structured_outputs_regex": "a+"}})


def test_an_estimators_loop_takes_no_vllm() -> None:
    with pytest.raises(ValueError, match="'use_vllm' is set by the recipe's other keys"):
        RolloutSettings.model_validate({"training": {"use_vllm": True}})


def test_trls_vllm_is_refused_where_it_cannot_work(recipes: Path) -> None:
    with pytest.raises(UserMistakes) as caught:
        prepare_comparison(["grpo.yaml"], ["config.training.use_vllm=true"])
    where = "grpo.yaml: config.training.use_vllm: "
    assert where + "vLLM is not installed; install vLLM in an environment of its own" in str(caught.value)
    assert where + "TRL hands weights to vLLM on CUDA devices only, and this run is on cpu" in str(caught.value)
