"""Text rewards read the format that the prompt asks for, and pay for nothing else."""

import json
from importlib.resources import files
from pathlib import Path

import pytest

from benchmark import PromptRenderer, UserMistakes
from benchmark.statistics import text_length
from scoring.text_rewards import (
    FULL_LENGTH,
    ReasoningFormat,
    features_part,
    format_reward,
    heading_reward,
    length_reward,
    reasoning_format,
)

SECTIONS = [
    "### Part 1: What matters here",
    "#### User persona",
    "#### Agent character",
    "#### Dialogue context",
    "#### Summary",
    "### Part 2: Three trials",
    "### Part 3: Features",
]
MARKER = "[Features of the Ideal Response]"
BLOCK = f"```\n{MARKER}\n- one two\n```"


@pytest.fixture(scope="module")
def form(renderer: PromptRenderer) -> ReasoningFormat:
    return reasoning_format(renderer)


def recorded_reasoning() -> list[str]:
    lines = files("benchmark").joinpath("data/mini/reasoning.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line)["reasoning"] for line in lines]


def test_every_recorded_reasoning_is_in_full_format_and_is_paid_by_its_words(form: ReasoningFormat) -> None:
    texts = recorded_reasoning()
    assert len(texts) >= 48
    for text in texts:
        assert format_reward(text, form) == 1.0
        words = text.partition(form.marker)[2].replace("```", "").split()
        assert length_reward(text, form) == pytest.approx(len(words) / FULL_LENGTH)


def test_the_format_is_the_one_that_the_bundled_prompt_asks_for(form: ReasoningFormat) -> None:
    assert form == ReasoningFormat(MARKER, tuple(SECTIONS))


@pytest.mark.parametrize(
    ("text", "reward"),
    [
        ("\n".join([*SECTIONS, BLOCK]), 1.0),
        ("\n".join([BLOCK, *reversed(SECTIONS)]), 1.0),
        ("\n".join(SECTIONS), 0.5),
        (BLOCK, 0.5),
        (f"```markdown\n{MARKER}\n```", 0.5),
        ("", 0.0),
        (f"```\n{MARKER}\n- never closed", 0.0),
        (f"```\ncode\n```\n{MARKER}\n```\ncode\n```", 0.0),
        (f"a ``` b {MARKER} c ``` d", 0.0),
        (" ".join(SECTIONS), 0.0),
    ],
    ids=[
        "all",
        "any-order",
        "no-block",
        "no-sections",
        "named-fence",
        "empty",
        "open",
        "between",
        "inline",
        "one-line",
    ],
)
def test_the_format_reward_is_half_for_the_block_and_half_for_the_headings(
    text: str, reward: float, form: ReasoningFormat
) -> None:
    assert format_reward(text, form) == reward


@pytest.mark.parametrize("missing", SECTIONS)
def test_each_missing_heading_costs_half(missing: str, form: ReasoningFormat) -> None:
    text = "\n".join([*(section for section in SECTIONS if section != missing), BLOCK])
    assert format_reward(text, form) == 0.5


@pytest.mark.parametrize(
    ("features", "reward"),
    [
        ("- one two", 3 / 600),
        ("", 0.0),
        ("word " * 599, 599 / 600),
        ("word " * 900, 1.0),
        ("面包要慢慢发酵。" * 10, 80 / 600),
        ("빵은 천천히 굽는다", 3 / 600),
    ],
    ids=["words", "none", "nearly", "capped", "characters", "korean"],
)
def test_the_length_reward_is_the_features_share_of_600_words_or_characters(
    features: str, reward: float, form: ReasoningFormat
) -> None:
    text = f"Much said before.\n```\n{MARKER}\n{features}\n```\nAnd much behind it."
    assert length_reward(text, form) == pytest.approx(reward)
    assert text_length(features_part(text, form) or "") == pytest.approx(600 * reward) or reward == 1.0


def test_without_a_closed_block_there_are_no_features_and_no_length(form: ReasoningFormat) -> None:
    text = f"```\n{MARKER}\n" + "word " * 900
    assert features_part(text, form) is None
    assert length_reward(text, form) == 0.0


def test_of_several_blocks_the_last_with_the_marker_counts(form: ReasoningFormat) -> None:
    text = f"{BLOCK}\n```\n{MARKER}\n- three\n```\n```\nno features\n```"
    assert features_part(text, form) == "- three"


def test_of_several_markers_in_a_block_the_last_counts(form: ReasoningFormat) -> None:
    assert features_part(f"```\n{MARKER}\n- one\n{MARKER}\n- two\n```", form) == "- two"


@pytest.mark.parametrize(
    ("text", "reward"),
    [
        ("## Agent Response\nRye.", 1.0),
        ("Thinking.\n  ##Agent Response  \nRye.", 1.0),
        ("### Agent Response\nRye.", 0.0),
        ("## Agent Responses\nRye.", 0.0),
        ("Here is ## Agent Response", 0.0),
        ("## agent response", 0.0),
        ("", 0.0),
    ],
)
def test_the_heading_reward_asks_for_the_heading_at_the_beginning_of_a_line(text: str, reward: float) -> None:
    assert heading_reward(text, "## Agent Response") == reward


def test_the_heading_may_be_a_tag() -> None:
    assert heading_reward("So be it.\n<Agent Response>\nRye.", "<Agent Response>") == 1.0
    assert heading_reward("So be it.", "<Agent Response>") == 0.0


def own_renderer(folder: Path, fragment: str) -> PromptRenderer:
    (folder / "reasoning_format.yaml").write_text(json.dumps({"fragment": fragment}), "utf-8")
    return PromptRenderer(folder)


def test_a_users_own_template_is_rewarded_by_its_own_headings(tmp_path: Path) -> None:
    fragment = (
        "## Überlegung 1\n## Lage\n```\n## No section\n```\n## Merkmale\n```\n[Merkmale]\n### Inhalt\n```\n## Behind\n"
    )
    found = reasoning_format(own_renderer(tmp_path, fragment))
    assert found == ReasoningFormat("[Merkmale]", ("## Lage", "## Merkmale"))


@pytest.mark.parametrize(
    "fragment",
    ["## A\n", "## A\n```\nno marker\n```\n", "```\n[M]\n```\n", "## A\n```\n[M]\n"],
    ids=["no-block", "no-marker", "no-headings", "open-block"],
)
def test_a_template_whose_format_cannot_be_read_is_the_users_mistake(tmp_path: Path, fragment: str) -> None:
    with pytest.raises(UserMistakes, match="template reasoning"):
        reasoning_format(own_renderer(tmp_path, fragment))
