"""What DA, DPO and RFT train on: the teacher's dialogues, blanked answers, and the best of the sampled ones."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from method_helpers import TWO_STEPS, config_of, with_parent
from pydantic import ValidationError

from benchmark import Benchmark, PromptRenderer, UserMistakes
from benchmark.run_store import read_json
from rpm_methods.da import DASettings, augmented_samples
from rpm_methods.method import Method, TrainContext
from rpm_methods.registry import get_method
from rpm_methods.training_rows import IGNORED, preference_rows, training_rows
from scoring.likelihood import LikelihoodScorer
from scoring.models.causal_lm import CausalLM
from scoring.models.generation import Generation, Sampling
from scoring.models.resolver import locate_model
from scoring.rewards import percentage_rewards


@pytest.fixture
def context(tiny_model: Path, mini: Benchmark, renderer: PromptRenderer, tmp_path: Path) -> TrainContext:
    folder = tmp_path / "run"
    folder.mkdir()
    base = locate_model(str(tiny_model))
    return TrainContext(base, "float32", "cpu", mini.train[:3], renderer, Sampling(6), 3, folder)


def ready(method: Method[Any], context: TrainContext) -> TrainContext:
    """Return the context with the policy that the method starts from, which is made beside its folder."""
    return with_parent(method, replace(context, folder=context.folder.parent), context.folder)


def test_augmented_dialogues_are_those_made_from_the_training_samples(mini: Benchmark) -> None:
    everything = augmented_samples("mini", mini.train)
    assert len(everything) == 24
    some = augmented_samples("mini", mini.train[:10])
    chosen = {sample.sample_id for sample in mini.train[:10]}
    assert some == [sample for sample in everything if chosen & set(sample.source_sample_ids)]
    assert 0 < len(some) < 24


def test_a_teachers_file_without_dialogues_of_these_samples_is_a_mistake(mini: Benchmark, tmp_path: Path) -> None:
    sources = {source for sample in augmented_samples("mini", mini.train) for source in sample.source_sample_ids}
    others = [sample for sample in mini.train if sample.sample_id not in sources]
    with pytest.raises(UserMistakes, match="no dialogue made from one of the training samples"):
        augmented_samples("mini", others)
    with pytest.raises(UserMistakes, match="neither 'mini' nor a file"):
        augmented_samples(str(tmp_path / "none.jsonl"), mini.train)
    (tmp_path / "faulty.jsonl").write_text(json.dumps({"sample_ID": "a"}) + "\n" + json.dumps({"sample_ID": 3}) + "\n")
    with pytest.raises(UserMistakes) as caught:
        augmented_samples(str(tmp_path / "faulty.jsonl"), mini.train)
    places = {mistake.where.split(":")[1].split()[0] for mistake in caught.value.mistakes}
    assert places == {"1", "2"}


def test_preferences_stand_behind_the_full_prompt_and_both_end_their_turn(
    tiny_lm: CausalLM, mini: Benchmark, renderer: PromptRenderer
) -> None:
    answers = [Generation("Nobody knows.", "stop", 1, 1), Generation("Cut of", "length", 1, 1)]
    chat = tiny_lm.chat
    rows = preference_rows(mini.train[:2], answers, renderer, "response", chat)
    golden = training_rows(mini.train[:2], renderer, "response", chat)
    for row, answer, supervised in zip(rows, answers, golden, strict=True):
        assert row.prompt_ids + row.chosen_ids == supervised.input_ids
        assert row.chosen_ids[-1] == row.rejected_ids[-1] == chat.end_of_turn_id
        assert chat.decode(row.rejected_ids) == f"{answer.text}\n</Agent Response>"
        assert [both.labels.count(IGNORED) for both in row.both] == [len(row.prompt_ids)] * 2


def test_rejected_answers_are_given_to_prompts_that_name_nobody(context: TrainContext) -> None:
    dpo = get_method("dpo")
    dpo.train(dpo.config_type.model_validate({"training": TWO_STEPS}), ready(dpo, context))
    kept = [json.loads(line) for line in (context.folder / "rejected.jsonl").read_text().splitlines()]
    assert sorted(int(index) for batch in kept for index in batch) == [0, 1, 2]
    for sample in context.samples:
        shown = context.renderer.render("response_blanked", sample).messages[-1].content
        assert sample.user_persona not in shown
        assert sample.agent_character.character_background not in shown
        assert sample.last_query in shown


def test_rft_trains_on_the_candidate_that_the_base_model_rewards_most(
    context: TrainContext, tiny_lm: CausalLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    rft = get_method("rft")
    seen: list[list[str]] = []

    def rows(*arguments: object, answers: list[str], **rest: object) -> object:
        seen.append(answers)
        return training_rows(*arguments, answers=answers, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr("rpm_methods.rft.training_rows", rows)
    config = rft.config_type.model_validate({"training": TWO_STEPS, "candidates": 4})
    rft.train(config, ready(rft, replace(context, sampling=Sampling(12))))
    batches = [json.loads(line) for line in (context.folder / "candidates.jsonl").read_text().splitlines()]
    made = {int(index): answer["text"] for batch in batches for index, answer in batch.items()}
    scorer = LikelihoodScorer(tiny_lm, batch_tokens=256)
    for number, (sample, winner) in enumerate(zip(context.samples, seen[0], strict=True)):
        texts = [made[4 * number + k] for k in range(4)]
        assert len(set(texts)) > 1
        rewards = percentage_rewards(scorer, context.renderer, sample, texts)
        best = max(reward for reward in rewards if reward is not None)
        assert rewards[texts.index(winner)] == pytest.approx(best, rel=1e-4)


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ({"dialogues": None}, "neither teacher nor dialogues is given"),
        ({"dialogues": "mini", "teacher": {"model": "big"}}, "teacher and dialogues are both given"),
        ({"dialogues": "none.jsonl"}, "'none.jsonl' is neither 'mini' nor a file"),
        ({"teacher": {"model": "big", "api_key_variable": "sk-secret"}}, "not the name of an environment variable"),
    ],
)
def test_data_augmentation_has_one_source_and_it_is_looked_at_before_anything_runs(
    config: dict[str, object], wanted: str
) -> None:
    with pytest.raises(ValidationError, match=wanted) as caught:
        DASettings.model_validate(config)
    assert "sk-secret" not in str(caught.value)


@pytest.mark.parametrize("config", [{}, {"teacher": {"model": "big"}}, {"teacher": None, "dialogues": "mini"}])
def test_settings_of_data_augmentation_survive_being_written_down(config: dict[str, object]) -> None:
    settings = DASettings.model_validate(config)
    assert DASettings.model_validate(settings.model_dump()) == settings
    assert (settings.teacher is None) == (settings.dialogues == "mini")


def test_pairs_that_share_their_prompt_train_as_with_trls_own_forward_pass(
    context: TrainContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    dpo = get_method("dpo")
    shared = ready(dpo, context)
    plain = replace(shared, folder=context.folder.parent / "plain")
    plain.folder.mkdir()
    dpo.train(config_of(dpo), shared)
    monkeypatch.setattr("rpm_methods.adapter_training.why_not_shared", lambda *arguments, **others: "as asked")
    dpo.train(config_of(dpo), plain)
    mine, theirs = (
        [row for row in read_json(c.folder / "training_log.json") if "loss" in row] for c in (shared, plain)
    )
    assert len(mine) == 2
    for own, other in zip(mine, theirs, strict=True):
        for name in ("loss", "grad_norm", "logps/chosen", "logps/rejected", "logits/chosen", "entropy"):
            assert own[name] == pytest.approx(other[name], rel=1e-3), name
