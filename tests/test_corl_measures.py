"""Guards against rewards gained by a trick, held-out perplexity, and the rewards of reasoning, worked out by hand."""

import math
from collections.abc import Sequence

import pytest
from conftest import make_sample

from benchmark import PromptRenderer, UserMistakes
from corl.cold_start import cold_start
from corl.guards import reasoning_guards
from corl.held_out import held_out_samples, perplexity
from corl.method import CoRLSettings
from corl.reward_models import OwnWeights
from corl.rewards import generator_rewards, likelihood_value, response_rewards
from corl.settings import CoEvolutionSettings, EstimatorSettings, HeldOutSettings, ReasoningReward
from corl.thinking_loop import thinking_reward
from corl.thinking_prompts import ThinkingPrompts, thinking_prompts
from rpm_methods.rollout_source import StepRollouts
from scoring.models.causal_lm import CausalLM
from scoring.reasoning_text import reasoning_reader
from scoring.rewards import AnswerLikelihood, answer_likelihoods, log_likelihood_rewards, percentage_ratio_rewards
from scoring.sampling import Rollout

GOLDEN = "Bake the dark rye loaf tonight."


def rollout(text: str, finish_reason: str = "stop") -> Rollout:
    return Rollout((1, 2), text, finish_reason)  # type: ignore[arg-type]


def model_of(lm: CausalLM) -> OwnWeights:
    return OwnWeights(lm, batch_tokens=1000)


def guards(texts: Sequence[str], rewards: Sequence[float | None]) -> dict[str, float]:
    sample = make_sample(golden_response=GOLDEN)
    step = StepRollouts(1, [(sample, [rollout(text) for text in texts])], [rewards], None)
    return dict(reasoning_guards(lambda text: text)(step))


def test_copying_and_length_are_measured_of_what_the_policy_model_is_shown() -> None:
    found = guards(["bake the dark rye loaf now", "bread", "a warm kind short answer"], [3.0, 1.0, 2.5])
    assert found["guards/copied_share"] == pytest.approx((2 / 3) / 3), "two of the three sequences of four words"
    assert found["guards/copied_share_max"] == pytest.approx(2 / 3)
    assert found["guards/shown_words"] == pytest.approx((6 + 1 + 5) / 3)
    lengths, rewards = (6, 1, 5), (3.0, 1.0, 2.5)
    mean_length, mean_reward = 4, 6.5 / 3
    products = sum((n - mean_length) * (r - mean_reward) for n, r in zip(lengths, rewards, strict=True))
    norms = sum((n - 4) ** 2 for n in lengths) * sum((r - mean_reward) ** 2 for r in rewards)
    assert found["guards/length_reward_correlation"] == pytest.approx(products / math.sqrt(norms))


@pytest.mark.parametrize(
    ("texts", "rewards"),
    [(["a", "b"], [1.0, 2.0]), (["a", "b c"], [1.0, 1.0]), (["a", "b c"], [1.0, None])],
    ids=["lengths-equal", "rewards-equal", "reward-missing"],
)
def test_where_nothing_varies_there_is_no_correlation(texts: list[str], rewards: list[float | None]) -> None:
    assert "guards/length_reward_correlation" not in guards(texts, rewards)


def test_perplexity_weighs_tokens_not_responses() -> None:
    found = [AnswerLikelihood(-6.0, 3), AnswerLikelihood(-1.0, 1)]
    assert perplexity(found) == pytest.approx(math.exp(7 / 4))
    with pytest.raises(ValueError, match="no responses"):
        perplexity([])


def test_held_out_samples_are_spread_over_all() -> None:
    samples = [make_sample(f"s{number}") for number in range(10)]
    assert [s.sample_id for s in held_out_samples(samples, HeldOutSettings(samples=4))] == ["s0", "s2", "s5", "s7"]
    assert held_out_samples(samples, HeldOutSettings()) == []
    assert len(held_out_samples(samples[:3], HeldOutSettings(samples=8))) == 3


def test_a_likelihood_is_a_reward_as_sum_or_as_probability() -> None:
    found = AnswerLikelihood(-6.0, 3)
    assert likelihood_value(found, "sum") == -6.0
    assert likelihood_value(found, "mean_probability") == pytest.approx(math.exp(-2))


def test_reasoning_is_rewarded_for_likelihood_form_and_length(tiny_lm: CausalLM, renderer: PromptRenderer) -> None:
    reader = reasoning_reader(renderer, "reasoning")
    model, sample = model_of(tiny_lm), make_sample()
    reward = ReasoningReward(likelihood="mean_probability", form=True, length=True)
    parts = generator_rewards(reward, reader, renderer, model)
    assert [part.name for part in parts] == ["likelihood", "form", "length"]
    marked = f"```\n{reader.form.marker}\n- dry and short\n```"
    rollouts = [rollout(f"Part 1\n{marked}"), rollout("no marker")]
    shown = ["- dry and short", "no marker"]
    expected = log_likelihood_rewards(model.scorer, renderer, sample, shown)
    assert parts[0].score(sample, rollouts) == [one.mean_probability for one in expected if one]
    assert parts[1].score(sample, rollouts) == [0.5, 0.0]
    assert parts[2].score(sample, rollouts) == [pytest.approx(4 / 600), 0.0]
    assert [part.name for part in generator_rewards(ReasoningReward(), reader, renderer, model)] == ["likelihood"]


def test_a_response_is_rewarded_by_the_reference_for_the_features_it_was_asked_for(
    tiny_lm: CausalLM, renderer: PromptRenderer
) -> None:
    model, sample = model_of(tiny_lm), make_sample()
    (part,) = response_rewards(model, renderer, {sample.sample_id: "- dry"})
    texts = ["Rye.", "No."]
    expected = percentage_ratio_rewards(model.scorer, renderer, sample, "- dry", texts)
    assert part.score(sample, [rollout(text) for text in texts]) == expected
    assert expected[0] == 1.0, "the golden response itself"


@pytest.fixture
def prompts(renderer: PromptRenderer) -> ThinkingPrompts:
    return thinking_prompts(renderer)


def test_both_halves_of_an_answer_are_parts_of_the_same_text(
    prompts: ThinkingPrompts, renderer: PromptRenderer
) -> None:
    sample = make_sample()
    whole = renderer.render("response_thinking", sample)
    (answer,) = prompts.answers([sample], ["be kind"])
    assert prompts.thinking(sample).messages == prompts.response(sample, "be kind").messages == whole.messages
    behind = prompts.response(sample, "be kind").answer_prefix
    assert whole.answer_prefix + answer == behind + "Rye."
    assert prompts.thinking(sample).stop == "</Thinking>"
    assert prompts.response(sample, "be kind").stop == "</Agent Response>"


@pytest.mark.parametrize(
    ("text", "finish_reason", "thinking"),
    [
        (" be kind \n", "stop", "be kind"),
        ("be kind", "length", None),
        ("  ", "stop", None),
        ("be <Agent Response> kind", "stop", None),
    ],
    ids=["closed", "cut", "empty", "tag"],
)
def test_thinking_is_malformed_unless_it_is_closed_and_has_no_tags(
    prompts: ThinkingPrompts, text: str, finish_reason: str, thinking: str | None
) -> None:
    assert prompts.closed_thinking(rollout(text, finish_reason)) == thinking


def test_thinking_is_rewarded_by_the_golden_response_behind_it_and_malformed_by_nothing(
    tiny_lm: CausalLM, prompts: ThinkingPrompts
) -> None:
    model, sample = model_of(tiny_lm), make_sample()
    part = thinking_reward(prompts, model)
    rewards = part.score(sample, [rollout("be kind"), rollout("cut", "length"), rollout("be short")])
    golden = tiny_lm.chat.encode_answer("Rye.", ended=False)
    behind = [prompts.response(sample, text) for text in ("be kind", "be short")]
    expected = answer_likelihoods(model.scorer, behind, golden, sample_id="x")
    assert rewards == [expected[0] and expected[0].mean_probability, 0.0, expected[1] and expected[1].mean_probability]
    assert rewards[0] is not None
    assert rewards[0] > 0


def test_a_trace_without_features_is_named(renderer: PromptRenderer) -> None:
    reader = reasoning_reader(renderer, "reasoning")
    with pytest.raises(UserMistakes, match="training sample IDTest-1: the reasoning has no closed fenced block"):
        cold_start([make_sample()], {"IDTest-1": "nothing"}, reader, 0.5)


@pytest.mark.parametrize("phase", ["reasoning_rl", "imitation", "response_rl", "cold_start"])
def test_one_adapter_has_its_arguments_in_one_place(phase: str) -> None:
    with pytest.raises(ValueError, match="give its arguments in `lora` of the whole"):
        EstimatorSettings.model_validate({phase: {"lora": {"r": 4}}})


def test_the_ninth_method_has_a_worst_reward() -> None:
    with pytest.raises(ValueError, match="mean_probability alone"):
        CoRLSettings.model_validate({"reward": {"likelihood": "sum"}})


def test_what_is_kept_and_shown_is_no_part_of_a_model_s_identity() -> None:
    one = CoEvolutionSettings.model_validate({"reasoning_rl": {"training": {"save_steps": 3}}})
    other = CoEvolutionSettings.model_validate({"reasoning_batch_tokens": 5, "reasoning_rl": {"collapse_steps": 9}})
    assert one.identity() == other.identity()
    faster = CoEvolutionSettings.model_validate({"reasoning_rl": {"training": {"learning_rate": 1e-3}}})
    assert faster.identity() != one.identity()


def test_a_group_without_text_has_no_words() -> None:
    assert guards(["", ""], [1.0, 2.0])["guards/shown_words"] == 0
