"""A run with a trained estimator: each sample's own fold writes its reasoning and scores it; what is made once."""

import shutil
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from estimator_helpers import REASONING, batches_decoded, make_adapters, silent, two_folds, write
from likelihood_helpers import naive
from score_helpers import (
    Workplace,
    block,
    echo,
    golden,
    outcome,
    read_scores,
    settings,
    times,
    write_benchmark,
    write_responses,
)

from benchmark import PromptRenderer, UserMistakes
from benchmark.progress import Advance, SilentProgress
from benchmark.run_store import RunStore, read_json, read_jsonl, write_jsonl
from benchmark.sample import Benchmark
from corl.estimator_training import FitData
from recipes import stage_likelihoods, stage_reasoning
from recipes.environment import Compute
from recipes.prepared_estimator import PreparedEstimator
from recipes.schema import CoRLEstimatorRecipe, ScoringSettings
from recipes.score import prepare_scoring
from recipes.scoring_plan import ScoringPlanner
from recipes.stage_likelihoods import LikelihoodStage
from recipes.subset_pairs import subset_negatives
from scoring.estimator import read_estimator, write_base_estimator
from scoring.models.causal_lm import CausalLM, load_causal_lm
from scoring.reasoning import ReasoningCache, write_reasonings

SIZES = {"id": 6, "korean": 4}


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the sizes of the batches that are generated from now on."""
    return batches_decoded(monkeypatch)


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    return write_benchmark(tmp_path_factory.mktemp("benchmark") / "b.json", SIZES)


@pytest.fixture(scope="module")
def adapters(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_adapters(tiny_model, tmp_path_factory.mktemp("adapters"))


@pytest.fixture(scope="module")
def assignments(benchmark: Benchmark) -> dict[str, int]:
    """Return folds of all samples but one: three and three of id, of korean three and one."""
    folds = {"id": [0, 1, 0, 1, 1, None], "korean": [1, 1, 0, 1]}
    named = [(s.sample_id, fold) for key, of in folds.items() for s, fold in zip(benchmark.test[key], of, strict=True)]
    return {name: fold for name, fold in named if fold is not None}


@pytest.fixture(scope="module")
def place(
    benchmark: Benchmark,
    adapters: dict[str, Path],
    assignments: dict[str, int],
    tiny_model: Path,
    tiny_embedding: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Workplace:
    """Return a finished run over one method with an estimator of two folds."""
    folder = tmp_path_factory.mktemp("score")
    write(folder / "estimator", tiny_model, adapters, assignments=assignments)
    responses = write_responses(folder / "answers.jsonl", {"echo": echo(benchmark)})
    made = Workplace(benchmark, folder / "estimator", tiny_embedding, tiny_model, responses, folder / "out")
    made.score(responses, made.out, token_log_probs=True, gaussian_baseline=True)
    return made


def rows(out: Path) -> list[dict[str, Any]]:
    return read_jsonl(out / "reasoning.jsonl")


def stage(out: Path, name: str) -> dict[str, Any]:
    (found,) = [stage for stage in read_json(out / "manifest.json")["stages"] if stage["name"] == name]
    return dict(found)


def slow_lm(model: Path, estimator: Path, fold: int, role: str) -> Any:  # noqa: ANN401 - a transformers model
    """Return the base with a fold's adapters merged in by PEFT alone, in the order of their numbers."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    merged = AutoModelForCausalLM.from_pretrained(model)
    for adapter in sorted((estimator / "folds" / str(fold) / role).iterdir()):
        merged = PeftModel.from_pretrained(merged, adapter).merge_and_unload()
    return merged.eval()


def test_the_reasoning_is_exported_in_sample_order_by_each_samples_own_fold(
    place: Workplace, assignments: dict[str, int]
) -> None:
    samples = [sample for samples in place.benchmark.test.values() for sample in samples]
    found = rows(place.out)
    assert [row["sample_id"] for row in found] == [sample.sample_id for sample in samples]
    assert [row["fold"] for row in found] == [assignments.get(sample.sample_id, 0) for sample in samples]
    assert {frozenset(row) for row in found} == {
        frozenset({"sample_id", "fold", "reasoning", "shown", "marked", "finish_reason"})
    }
    estimator = read_estimator(place.estimator)
    files = [
        place.out / "stages" / "reasonings" / f"{f.generator_hash[:16]}.jsonl" for f in estimator.description.folds
    ]
    assert sorted((place.out / "stages" / "reasonings").iterdir()) == sorted(files)
    assert stage(place.out, "reasoning")["tokens"] > 0


def test_each_reasoning_is_what_its_folds_generator_writes_greedily(
    place: Workplace, tiny_lm: CausalLM, tmp_path: Path
) -> None:
    estimator, by_id = read_estimator(place.estimator), {row["sample_id"]: row for row in rows(place.out)}
    samples = [sample for samples in place.benchmark.test.values() for sample in samples]
    for fold in (0, 1):
        own = [sample for sample in samples if estimator.fold_of(sample.sample_id) == fold]
        model = slow_lm(place.model, place.estimator, fold, "generator")
        lm = CausalLM(model, tiny_lm.chat, tiny_lm.context_length, tiny_lm.device)
        cache = ReasoningCache(tmp_path / f"{fold}.jsonl")
        alone = [write_reasonings(lm, [s], PromptRenderer(), REASONING, cache, silent)[0] for s in own]
        assert [one.text for one in alone] == [by_id[sample.sample_id]["reasoning"] for sample in own]
    assert len({row["shown"] for row in by_id.values()}) == len(samples), "every sample is shown something else"


def test_every_entry_equals_a_slow_loop_over_pairs_of_one_fold(place: Workplace, tiny_lm: CausalLM) -> None:
    shown = {row["sample_id"]: row["shown"] for row in rows(place.out)}
    folds = {row["sample_id"]: row["fold"] for row in rows(place.out)}
    models = [slow_lm(place.model, place.estimator, fold, "policy") for fold in (0, 1)]
    tokens = {(row["method"], row["sample_id"]): row for row in read_jsonl(place.out / "scores" / "tokens.jsonl")}
    answers = {"(golden)": golden(place.benchmark), "echo": echo(place.benchmark)}
    for column, texts in answers.items():
        for key, samples in place.benchmark.test.items():
            found_N_N = block(place.out, column, key).sums_N_N
            for i, x in enumerate(samples):
                prompt = PromptRenderer().render("policy_with_reasoning", x, reasoning=shown[x.sample_id])
                prefix = tiny_lm.chat.encode_prompt(prompt)
                for j, y in enumerate(samples):
                    if folds[x.sample_id] != folds[y.sample_id]:
                        assert np.isnan(found_N_N[i, j])
                        continue
                    ids = tiny_lm.chat.encode_answer(texts[y.sample_id] or "", ended=True)
                    log_probs = naive(models[folds[x.sample_id]], prefix, ids)
                    assert found_N_N[i, j] == pytest.approx(log_probs.sum(), rel=1e-5)
                    if i == j:
                        row = tokens[None if column == "(golden)" else column, x.sample_id]
                        assert row["log_probs"] == pytest.approx(log_probs.tolist(), abs=1e-4)


def test_the_folds_models_differ_and_so_does_the_estimator_without_reasoning(place: Workplace, tmp_path: Path) -> None:
    write_base_estimator(str(place.model), tmp_path / "base")
    replace(place, estimator=tmp_path / "base").score(place.echo, tmp_path / "out")
    assert not (tmp_path / "out" / "reasoning.jsonl").exists()
    assert not list((tmp_path / "out" / "stages").glob("reasoning*"))
    assert {row["pairs"] for row in read_scores(tmp_path / "out", "remi")} == {"off_diagonal"}
    assert "rows_without_negatives" not in stage(tmp_path / "out", "likelihoods")["counts"]
    plain, trained = (block(out, "echo", "id").sums_N_N.diagonal() for out in (tmp_path / "out", place.out))
    assert (np.abs(plain - trained) > 1e-2).all()


def test_scores_take_negatives_of_the_own_fold_alone_and_say_so(place: Workplace) -> None:
    samples, folds = place.benchmark.test["id"], np.array([0, 1, 0, 1, 1, 0])
    found = {row["subset"]: row for row in read_scores(place.out, "remi") if row["unit"] == "nats_per_response"}
    assert {row["pairs"] for row in found.values()} == {"off_diagonal_in_fold"}
    assert {row["estimator"] for row in found.values()} == {f"corl {place.model}, 2 folds"}
    assert {row["reasoning"] for row in found.values()} == {True}
    mask_N_N = (folds[:, None] == folds[None, :]) & ~np.eye(len(samples), dtype=bool)
    sums_N_N = block(place.out, "echo", "id").sums_N_N
    assert found["id"]["n_pairs"] == mask_N_N.sum() == 12
    assert found["id"]["model_mi"] == pytest.approx(sums_N_N.diagonal().mean() - sums_N_N[mask_N_N].mean())
    assert [found["korean"][name] for name in ("n_pairs", "n_samples", "n_unscored")] == [6, 3, 1]
    assert stage(place.out, "likelihoods")["counts"]["rows_without_negatives"] == 1
    assert read_scores(place.out, "baseline_emi")


def test_the_manifest_and_the_table_say_what_the_estimator_is(place: Workplace) -> None:
    described = read_json(place.out / "manifest.json")["estimator"]
    assert described["label"] == f"corl {place.model}, 2 folds"
    assert described["notes"] == ["fold 1: iteration 2 diverged"]
    assert described["settings"] == {"iterations": 2, "rewards": {"form": False}}
    assert [set(fold) for fold in described["folds"]] == [{"generator", "policy", "generator_hash", "policy_hash"}] * 2
    counts, text = stage(place.out, "reasoning")["counts"], (place.out / "tables" / "table20.md").read_text()
    assert counts["samples"] == 10
    assert f"- Reasonings of the estimator, of 10: {counts['unmarked']} without their marker (shown whole)" in text
    assert "- Training of the estimator: fold 1: iteration 2 diverged.\n" in text


def test_the_policy_model_is_shown_what_is_to_be_shown(tmp_path: Path) -> None:
    row = {"sample_id": "a", "reasoning": "So. [Features] - warm", "shown": "- warm"}
    write_jsonl(tmp_path / "reasoning.jsonl", [row, {"sample_id": "b", "reasoning": None, "shown": ""}])
    assert stage_reasoning.load_shown(tmp_path) == {"a": "- warm", "b": ""}


def test_prompts_without_room_are_told_and_scored_without_reasoning(
    place: Workplace, adapters: dict[str, Path], tmp_path: Path, decoded: list[int]
) -> None:
    no_room = replace(REASONING, max_new_tokens=4096)
    write(tmp_path / "e", place.model, adapters, folds=two_folds(adapters)[:1], assignments={}, reasoning=no_room)
    replace(place, estimator=tmp_path / "e").score(place.echo, tmp_path / "out")
    assert decoded == []
    nothing = {"fold": 0, "reasoning": None, "shown": "", "marked": False, "finish_reason": "prompt_too_long"}
    assert [{**row, "sample_id": ""} for row in rows(tmp_path / "out")] == [{"sample_id": "", **nothing}] * 10
    counts = {"samples": 10, "unmarked": 0, "empty": 0, "cut_by_length": 0, "prompt_too_long": 10}
    assert stage(tmp_path / "out", "reasoning")["counts"] == counts
    table = (tmp_path / "out" / "tables" / "table20.md").read_text()
    assert "10 not given because the prompt was longer than the context" in table
    scores = read_scores(tmp_path / "out", "remi")
    assert {(row["pairs"], row["estimator"]) for row in scores} == {("off_diagonal", f"corl {place.model}")}
    assert all(row["remi"] is not None for row in scores)


# What is made once


def test_a_second_run_reuses_everything_and_changes_no_byte(
    place: Workplace, tmp_path: Path, decoded: list[int]
) -> None:
    out = Path(shutil.copytree(place.out, tmp_path / "out"))
    told = place.score(place.echo, out, token_log_probs=True, gaussian_baseline=True)
    assert all(line.startswith("reused") for line in told)
    assert "reused reasoning" in told
    assert outcome(out) == outcome(place.out)
    assert decoded == []


def test_other_methods_of_a_fresh_plan_pay_for_no_reasoning(
    place: Workplace, tmp_path: Path, decoded: list[int]
) -> None:
    out = Path(shutil.copytree(place.out, tmp_path / "out"))
    shutil.rmtree(next((out / "stages").glob("reasoning-*")))
    both = {"echo": echo(place.benchmark), "golden": golden(place.benchmark)}
    told = place.score(write_responses(tmp_path / "both.jsonl", both), out)
    assert "started reasoning" in told
    assert decoded == []
    assert (out / "reasoning.jsonl").read_bytes() == (place.out / "reasoning.jsonl").read_bytes()
    assert stage(out, "reasoning")["tokens"] == 0
    assert stage(out, "reasoning")["counts"] == stage(place.out, "reasoning")["counts"]


def test_another_reasoning_costs_the_blocks_of_its_own_subset_alone(place: Workplace, tmp_path: Path) -> None:
    out, sample = Path(shutil.copytree(place.out, tmp_path / "out")), place.benchmark.test["korean"][0]
    for folder in out.glob("stages/*-*/"):
        if folder.name.partition("-")[0] in ("reasoning", "likelihoods", "scores", "bounds"):
            shutil.rmtree(folder)
    for path in (out / "stages" / "reasonings").iterdir():
        batches = read_jsonl(path)
        for batch in batches:
            batch["written"].get(sample.content_hash, {})["text"] = "- another"
        write_jsonl(path, batches)
    before = times(out)
    place.score(place.echo, out)
    assert [row["shown"] for row in rows(out) if row["sample_id"] == sample.sample_id] == ["- another"]
    new = times(out).keys() - before.keys()
    assert sorted(name.partition("-")[0] for name in new) == ["korean", "korean"]
    assert {name: times(out)[name] for name in before} == before


def test_a_run_stopped_between_the_folds_goes_on_and_ends_in_the_same_bytes(
    place: Workplace, tmp_path: Path, decoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped_at(module: Any, load: int) -> list[str]:  # noqa: ANN401
        """Run until a stage loads its model number `load`, then go on; return what is told of going on."""
        loaded: list[Path] = []

        def stopping(*given: Any, adapters: Sequence[Path], **named: Any) -> CausalLM:  # noqa: ANN401
            loaded.append(adapters[0])
            if len(loaded) == load:
                raise KeyboardInterrupt
            return load_causal_lm(*given, adapters=adapters, **named)

        with monkeypatch.context() as patch:
            patch.setattr(module, "load_causal_lm", stopping)
            with pytest.raises(KeyboardInterrupt):
                place.score(place.echo, tmp_path / "out", token_log_probs=True, gaussian_baseline=True)
        return [path.parent.parent.name for path in loaded]

    assert stopped_at(stage_reasoning, 2) == ["0", "1"]
    batches = len(decoded)
    assert batches > 0
    assert stopped_at(stage_likelihoods, 2) == ["0", "1"]
    assert stopped_at(stage_likelihoods, 1) == ["1"], "the rows of fold 0 are there"
    told = place.score(place.echo, tmp_path / "out", token_log_probs=True, gaussian_baseline=True)
    assert "reused reasoning" in told
    assert "resumed likelihoods" in told
    assert sum(decoded) == sum(SIZES.values())
    assert outcome(tmp_path / "out") == outcome(place.out)
    assert (tmp_path / "out" / "reasoning.jsonl").read_bytes() == (place.out / "reasoning.jsonl").read_bytes()


def test_progress_is_told_in_pairs_since_a_row_has_as_many_as_its_fold_has_samples(
    place: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, list[int]] = {"total": [], "done": []}

    class Counting(SilentProgress):
        @contextmanager
        def task(self, title: str, total: int, *, alike: bool = True) -> Iterator[Advance]:
            told["total"].append(total)

            def advance(units: int = 1) -> None:
                told["done"].append(units)

            yield advance

    made = LikelihoodStage._score
    monkeypatch.setattr(
        LikelihoodStage, "_score", lambda self, *given: made(replace(self, progress=Counting()), *given)
    )
    place.score(place.echo, tmp_path / "out", token_log_probs=True, gaussian_baseline=True)
    columns = 2
    of_id, of_korean = 3 * 3 + 3 * 3, 3 * 3 + 1
    assert told["total"] == [columns * (of_id + of_korean)]
    assert [units for units in told["done"] if units] == [columns * n for n in (3, 3, 3, 1, 3, 3, 3, 3, 3, 3)]


def test_each_folds_models_are_loaded_once_and_never_two_at_a_time(
    place: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[tuple[str, str]] = []
    models: list[weakref.ref[Any]] = []

    def watching(*given: Any, adapters: Sequence[Path], **named: Any) -> CausalLM:  # noqa: ANN401
        assert [model() for model in models] == [None] * len(models), "a model is still in memory"
        lm = load_causal_lm(*given, adapters=adapters, **named)
        loaded.append((adapters[0].parent.parent.name, adapters[0].parent.name))
        models.append(weakref.ref(lm.model))
        return lm

    for module in (stage_reasoning, stage_likelihoods):
        monkeypatch.setattr(module, "load_causal_lm", watching)
    place.score(place.echo, tmp_path / "out")
    assert loaded == [("0", "generator"), ("1", "generator"), ("0", "policy"), ("1", "policy")]


# What is refused


def test_the_released_arithmetic_is_refused_with_several_folds(place: Workplace, tmp_path: Path) -> None:
    told = "has 2 folds, and the released arithmetic compares all samples under one model; take arithmetic exact"
    chosen = settings(place.embedding, arithmetic="released")
    with pytest.raises(UserMistakes, match=told):
        prepare_scoring(place.echo, place.benchmark.name, place.estimator, chosen)
    with pytest.raises(UserMistakes, match=told):
        planned(place, tmp_path, place.estimator, arithmetic="released")
    with pytest.raises(UserMistakes, match=told):
        planned(place, tmp_path, to_train(place, folds=2), arithmetic="released")
    samples, estimator = place.benchmark.test["id"], read_estimator(place.estimator)
    with pytest.raises(UserMistakes, match=told):
        subset_negatives(samples, ScoringSettings(arithmetic="released"), 1, estimator)


def test_a_damaged_estimator_is_refused_before_anything_is_made(place: Workplace, tmp_path: Path) -> None:
    damaged = Path(shutil.copytree(place.estimator, tmp_path / "damaged"))
    (damaged / "folds/0/policy/1-policy-0-more/adapter_model.safetensors").unlink()
    with pytest.raises(UserMistakes, match=r"1-policy-0-more/adapter_model\.safetensors: is missing"):
        replace(place, estimator=damaged).score(place.echo, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# The plan


def planned(place: Workplace, out: Path, estimator: Path | PreparedEstimator, **changes: Any) -> dict[str, str]:  # noqa: ANN401
    """Return the keys of the stages that score no method, by name."""
    given = prepare_scoring(place.echo, place.benchmark.name, place.estimator, settings(place.embedding))
    chosen = given.inputs.settings.model_copy(update=changes)
    inputs = replace(given.inputs, estimator=estimator, settings=chosen)
    planner = ScoringPlanner(inputs, Compute("cpu", "float32", 1), RunStore(out), SilentProgress())
    return {stage.name: stage.key for stage in planner.stages([])}


def to_train(place: Workplace, n_train: int = 4, **changes: Any) -> PreparedEstimator:  # noqa: ANN401
    fields = {"kind": "estimator", "estimator": "corl", "model": str(place.model), "folds": None, **changes}
    data = FitData(place.benchmark.train[:n_train], place.benchmark.test, co_evolve_on_train=False)
    return PreparedEstimator(CoRLEstimatorRecipe.model_validate(fields), data, PromptRenderer())


def test_a_trained_estimators_reasoning_is_planned_before_the_likelihoods(place: Workplace, tmp_path: Path) -> None:
    for estimator in (place.estimator, to_train(place)):
        names = list(planned(place, tmp_path, estimator))
        assert names[:4] == ["estimator", "reasoning", "likelihoods", "scores"]
    write_base_estimator(str(place.model), tmp_path / "base")
    assert "reasoning" not in planned(place, tmp_path, tmp_path / "base")


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"description": "Mine."}, True),
        ({"config": {"reasoning_batch_tokens": 1}}, True),
        ({"config": {"max_reasoning_tokens": 9}}, False),
        ({"folds": 2}, False),
        ({"seed": 1}, False),
        ({"n_train": 3}, False),
    ],
)
def test_an_estimator_is_trained_anew_exactly_where_its_training_differs(
    place: Workplace, tmp_path: Path, changes: dict[str, Any], same: bool
) -> None:
    keys, others = (planned(place, tmp_path, to_train(place, **c))["estimator"] for c in ({}, changes))
    assert (keys == others) is same


def test_notes_and_labels_that_differ_are_not_passed_over_though_the_likelihoods_agree(
    place: Workplace, tmp_path: Path, adapters: dict[str, Path], assignments: dict[str, int]
) -> None:
    other = write(tmp_path / "other", place.model, adapters, assignments=assignments, notes=["another"])
    assert other.content_hash == read_estimator(place.estimator).content_hash
    keys = [planned(place, tmp_path, estimator)["estimator"] for estimator in (place.estimator, other.folder)]
    assert keys[0] != keys[1]
