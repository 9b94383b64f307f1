"""Co-evolution of the estimator: what each fold sees, its turns, resumption, divergence, and what comes of it."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mini_helpers import json_lines
from safetensors.torch import load_file

from benchmark import Benchmark, PromptRenderer, Sample, UserMistakes
from benchmark.run_store import read_json
from corl.estimator_training import EstimatorTraining, FitData
from corl.held_out import PERPLEXITY
from corl.rewards import generator_rewards
from corl.settings import EstimatorSettings
from rpm_methods.rollout_source import RewardPart
from rpm_methods.training_watch import TrainingDiverged
from scoring.likelihood import LikelihoodScorer
from scoring.models.causal_lm import load_causal_lm
from scoring.models.resolver import locate_model
from scoring.rewards import log_likelihood_rewards
from scoring.sampling import Rollout

SFT = {"training": {"max_steps": 2, "learning_rate": 1e-2, "per_device_train_batch_size": 2, "save_steps": 1}}
RL = {
    "training": {
        "max_steps": 2,
        "learning_rate": 1e-2,
        "num_generations": 2,
        "per_device_train_batch_size": 2,
        "save_steps": 1,
    }
}
SETTINGS: dict[str, Any] = {
    "template": "reasoning_features",
    "iterations": 1,
    "max_reasoning_tokens": 8,
    "max_response_tokens": 6,
    "lora": {"r": 2},
    "cold_start": SFT,
    "imitation": SFT,
    "reasoning_rl": RL,
    "response_rl": RL,
}
PHASES = ("1-generator-rl", "2-policy-sft", "3-policy-rl")
WEIGHTS = "adapter/adapter_model.safetensors"


@pytest.fixture
def training(tiny_model: Path, mini: Benchmark, renderer: PromptRenderer, tmp_path: Path) -> EstimatorTraining:
    subsets = {key: mini.test[key][:4] for key in ("german", "film")}
    return EstimatorTraining(
        settings=EstimatorSettings.model_validate(SETTINGS),
        base=locate_model(str(tiny_model)),
        dtype="float32",
        device="cpu",
        renderer=renderer,
        data=FitData(mini.train[:4], subsets, co_evolve_on_train=False),
        n_folds=None,
        seed=5,
        folder=tmp_path / "one",
        described={"fit_on": list(subsets)},
    )


def changed(training: EstimatorTraining, folder: str, **settings: Any) -> EstimatorTraining:  # noqa: ANN401
    made = EstimatorSettings.model_validate(SETTINGS | settings)
    return replace(training, folder=training.folder.parent / folder, settings=made)


def weights(folder: Path) -> dict[str, Any]:
    return dict(load_file(folder / WEIGHTS))


def moved(before: Path, after: Path) -> bool:
    one, other = weights(before), weights(after)
    assert one.keys() == other.keys()
    return any(not one[name].equal(other[name]) for name in one)


def files(folder: Path) -> dict[str, bytes]:
    """Return what lies in the estimator's directory."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(autouse=True)
def rewards_with_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tell any two rollouts apart: a random model's "100%" is the same behind all of them."""

    def uneven(*arguments: object) -> list[RewardPart]:
        return [RewardPart("uneven", lambda sample, rollouts: [float(sum(r.ids) % 97) for r in rollouts])]

    monkeypatch.setattr("corl.estimator_loop.response_rewards", uneven)


def test_each_turn_trains_one_adapter_further_and_both_models_end_in_the_estimator(training: EstimatorTraining) -> None:
    trained = training.run()
    assert [outcome.iterations for outcome in trained.outcomes] == [1]
    fold = training.folder / "training" / "fold-0"
    cold, turn = fold / "cold-start", fold / "iteration-01"
    assert moved(cold / "1-generator-sft", turn / PHASES[0])
    assert moved(cold / "2-policy-sft", turn / PHASES[1])
    assert moved(turn / PHASES[1], turn / PHASES[2])
    estimator = trained.estimator
    assert estimator.description.kind == "corl"
    assert (estimator.adapters(0, "generator")[0] / "adapter_model.safetensors").read_bytes() == (
        turn / PHASES[0] / WEIGHTS
    ).read_bytes()
    assert (estimator.adapters(0, "policy")[0] / "adapter_model.safetensors").read_bytes() == (
        turn / PHASES[2] / WEIGHTS
    ).read_bytes()
    places = [phase["place"] for phase in trained.phases]
    assert places == [
        "fold-0/cold-start/1-generator-sft",
        "fold-0/cold-start/2-policy-sft",
        *(f"fold-0/iteration-01/{name}" for name in PHASES),
    ]
    assert all(phase["seconds"] > 0 and phase["tokens"] > 0 for phase in trained.phases)
    curves = read_json(training.folder / "estimator" / "curves.json")
    rewards = [row["reward"] for row in curves if row["place"].endswith(PHASES[0])]
    assert len(rewards) == 2
    assert all(reward < 0 for reward in rewards), "log p summed over the golden response"


@pytest.mark.slow
def test_the_generator_is_rewarded_by_the_policy_model_of_the_iteration_before(
    training: EstimatorTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Sample, list[str], list[float | None]]] = []
    real = generator_rewards

    def watched(*arguments: Any) -> list[RewardPart]:  # noqa: ANN401
        (part,) = real(*arguments)

        def score(sample: Sample, rollouts: Sequence[Rollout]) -> list[float | None]:
            found = part.score(sample, rollouts)
            seen.append((sample, [rollout.text for rollout in rollouts], found))
            return found

        return [RewardPart(part.name, score, part.prepared)]

    monkeypatch.setattr("corl.estimator_loop.generator_rewards", watched)
    training.run()
    policy = training.folder / "training" / "fold-0" / "cold-start" / "2-policy-sft" / "adapter"
    lm = load_causal_lm(training.base, dtype="float32", device="cpu", adapters=[policy])
    scorer = LikelihoodScorer(lm, batch_tokens=1000)
    assert len(seen) >= 2
    for sample, texts, rewards in seen:
        expected = log_likelihood_rewards(scorer, training.renderer, sample, [text.strip() for text in texts])
        assert rewards == pytest.approx([one.sum_log_prob for one in expected if one is not None], rel=1e-4)


def test_no_fold_sees_a_sample_that_it_scores(training: EstimatorTraining, mini: Benchmark) -> None:
    subsets = {key: mini.test[key] for key in ("german", "film", "turn_level")}
    crossed = replace(training, data=FitData(mini.train, subsets, co_evolve_on_train=True), n_folds=2)
    assert crossed.folds is not None
    known = {sample.sample_id: sample for samples in subsets.values() for sample in samples}
    assert set(crossed.folds.assignments) == set(known)
    for number in range(2):
        data = crossed.fold_data(number)
        held = crossed.folds.held_out(number)
        assert not held & {sample.sample_id for sample in data.evolve}
        assert {s.sample_id for s in data.evolve} == (set(known) - held) | {s.sample_id for s in mini.train}
        goldens = {known[name].golden_response for name in held}
        assert not goldens & {sample.golden_response for sample in (*data.evolve, *data.cold_start.samples)}


def test_a_training_sample_with_a_held_out_response_is_left_out(training: EstimatorTraining, mini: Benchmark) -> None:
    subset = mini.test["german"]
    twin = replace(mini.train[0], golden_response=subset[0].golden_response)
    data = FitData((twin, *mini.train[1:4]), {"german": subset}, co_evolve_on_train=True)
    crossed = replace(training, data=data, n_folds=2)
    assert crossed.folds is not None
    for number in range(2):
        seen = crossed.fold_data(number)
        scored_here = crossed.folds.of(subset[0].sample_id) == number
        assert (twin in seen.cold_start.samples) is not scored_here
        assert (twin in seen.evolve) is not scored_here


def test_without_iterations_the_cold_start_is_the_estimator(training: EstimatorTraining) -> None:
    trained = changed(training, "cold", iterations=0).run()
    (outcome,) = trained.outcomes
    assert outcome.pair == outcome.cold
    assert outcome.iterations == 0
    assert len(trained.phases) == 2


@pytest.mark.slow
@pytest.mark.parametrize("number", range(6))
def test_interrupted_anywhere_and_resumed_equals_uninterrupted(
    training: EstimatorTraining, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Interrupt before the n-th file of an adapter or of reasoning is kept."""
    straight = changed(training, "straight")
    straight.run()
    broken = changed(training, "broken")
    left = [number]

    def interrupting(real: Any) -> Any:  # noqa: ANN401
        def call(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            return real(*arguments, **named)

        return call

    with monkeypatch.context() as patch:
        for name in ("rpm_methods.adapter_training._save", "scoring.reasoning.append_jsonl"):
            module, _, attribute = name.rpartition(".")
            patch.setattr(name, interrupting(getattr(__import__(module, fromlist=[attribute]), attribute)))
        with pytest.raises(KeyboardInterrupt):
            broken.run()
    broken.run()
    assert files(broken.folder / "estimator") == files(straight.folder / "estimator")


def test_an_iteration_that_diverges_leaves_the_pair_from_before_it(
    training: EstimatorTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def diverging(*arguments: object) -> list[RewardPart]:
        calls.append(arguments)
        raise TrainingDiverged("the loss is nan at step 2")

    monkeypatch.setattr("corl.estimator_loop.response_rewards", diverging)
    trained = training.run()
    (outcome,) = trained.outcomes
    assert outcome.pair == outcome.cold, "the new generator does not go with the old policy model"
    assert outcome.iterations == 0
    assert trained.estimator.description.notes == (
        "iteration 1 diverged, so the adapters of the cold start are kept (the loss is nan at step 2)",
    )
    assert trained.counts["folds_that_diverged"] == 1
    again = training.run()
    assert len(calls) == 1, "what diverged is not tried again"
    assert again.estimator.content_hash == trained.estimator.content_hash


@pytest.mark.slow
def test_traces_that_repeat_the_golden_response_are_left_out_and_counted(
    training: EstimatorTraining, mini: Benchmark, tmp_path: Path
) -> None:
    rows = json_lines("reasoning.jsonl")[:4]
    before, marker, _ = rows[1]["reasoning"].partition("- ")
    rows[1]["reasoning"] = before + marker + mini.train[1].golden_response + "\n```"
    path = tmp_path / "traces.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    echoing = changed(training, "echo", reasoning=str(path), iterations=0)
    cold = echoing.cold_start
    assert list(cold.echoes) == [mini.train[1].sample_id]
    assert mini.train[1] not in cold.samples
    trained = echoing.run()
    assert trained.counts["echoing_traces_left_out"] == 1
    assert trained.estimator.description.notes[0].startswith("1 of 4 traces repeat the golden response")
    strict = changed(training, "strict", reasoning=str(path), copying_limit=1e-9)
    strict = replace(strict, data=replace(strict.data, train=(mini.train[1],)))
    with pytest.raises(UserMistakes, match="all 1 traces repeat"):
        strict.run()


@pytest.mark.slow
def test_rewards_perplexity_and_guards_are_logged_step_by_step(training: EstimatorTraining) -> None:
    subsets = dict(training.data.subsets)
    crossed = replace(
        changed(training, "curves", held_out={"samples": 2, "every": 2}, reward={"form": True, "length": True}),
        data=FitData(training.data.train, subsets, co_evolve_on_train=False),
        n_folds=2,
    )
    crossed.run()
    rows = read_json(crossed.folder / "estimator" / "curves.json")
    generator = [row for row in rows if row["place"] == "fold-1/iteration-01/1-generator-rl"]
    policy = [row for row in rows if row["place"] == "fold-1/iteration-01/3-policy-rl"]
    assert len(generator) == len(policy) == 2
    for row in (*generator, *policy):
        assert row[PERPLEXITY] > 1
        assert "reward" in row
        assert "frac_reward_zero_std" in row
    for row in generator:
        assert {"rewards/likelihood/mean", "rewards/form/mean", "rewards/length/mean"} <= row.keys()
        assert 0 <= row["guards/copied_share"] <= row["guards/copied_share_max"] <= 1
        assert row["guards/shown_words"] >= 0
    held = crossed.fold_data(1).held_out
    assert len(held) == 2
    assert {crossed.folds.of(sample.sample_id) for sample in held if crossed.folds} == {1}


@pytest.mark.slow
def test_a_cut_or_unmarked_reasoning_is_shown_to_the_policy_model_as_it_is(training: EstimatorTraining) -> None:
    whole = changed(training, "whole", template="reasoning")
    whole.run()
    turn = whole.folder / "training" / "fold-0" / "iteration-01"
    log = read_json(turn / PHASES[0] / "training_log.json")
    assert all(row["completions/malformed_share"] == 1 for row in log if "loss" in row), "eight tokens hold no marker"
    example = read_json(turn / PHASES[1] / "preflight.json")["example"]
    (line,) = (turn / "reasoning.jsonl").read_text().splitlines()
    sample = next(s for s in whole.data.subsets["german"] if s.sample_id == example["sample_id"])
    written = json.loads(line)["written"][sample.content_hash]["text"].strip()
    assert written
    assert f'{written[-5:]}\n"""' in example["prompt_end"]


@pytest.mark.slow
def test_a_finished_training_is_read_not_repeated(training: EstimatorTraining, monkeypatch: pytest.MonkeyPatch) -> None:
    first = training.run()
    before = files(training.folder / "estimator")
    monkeypatch.setattr("corl.phases.train_on_rows", None)
    monkeypatch.setattr("corl.phases.train_on_rollouts", None)
    again = training.run()
    assert files(training.folder / "estimator") == before
    assert again.phases == first.phases
    shutil.rmtree(training.folder / "training" / "fold-0" / "iteration-01" / PHASES[2])
    with pytest.raises(TypeError):
        training.run()
