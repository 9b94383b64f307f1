"""The policy model is shown the features of a reasoning, under both prompts of the generator."""

import pytest
from mini_helpers import json_lines

from benchmark import PromptRenderer
from scoring.reasoning_text import TEMPLATES, ReasoningReader, ShownReasoning, reasoning_reader
from scoring.text_rewards import format_reward

MARKER = "[Features of the Ideal Response]"


@pytest.fixture
def whole(renderer: PromptRenderer) -> ReasoningReader:
    return reasoning_reader(renderer, "reasoning")


@pytest.fixture
def brief(renderer: PromptRenderer) -> ReasoningReader:
    return reasoning_reader(renderer, "reasoning_features")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"### Part 3\n```\n{MARKER}\n- dry\n- short\n```\nmore", ShownReasoning("- dry\n- short", marked=True)),
        (f"### Part 3\n```\n{MARKER}\n- cut off he", ShownReasoning("- cut off he", marked=True)),
        (f"{MARKER}\n- no fence", ShownReasoning("- no fence", marked=True)),
        (f"{MARKER} first\n```\n{MARKER}\n- last counts\n```", ShownReasoning("- last counts", marked=True)),
        ("no marker at all \n", ShownReasoning("no marker at all", marked=False)),
        ("", ShownReasoning("", marked=False)),
    ],
    ids=["closed", "cut", "no-fence", "twice", "unmarked", "empty"],
)
def test_a_whole_reasoning_is_shown_from_its_marker_on(
    whole: ReasoningReader, text: str, shown: ShownReasoning
) -> None:
    assert whole.shown(text) == shown


def test_where_the_marker_is_given_the_answer_is_the_features(brief: ReasoningReader) -> None:
    assert brief.marker_is_given
    assert brief.shown(" - dry\n") == ShownReasoning("- dry", marked=True)


@pytest.mark.parametrize("template", TEMPLATES)
def test_what_is_learned_from_a_recorded_trace_is_in_full_form_and_shows_its_features(
    renderer: PromptRenderer, template: str
) -> None:
    reader = reasoning_reader(renderer, template)
    traces = [row["reasoning"] for row in json_lines("reasoning.jsonl")]
    assert len(traces) >= 48
    for trace in traces:
        target = reader.target(trace)
        assert target is not None
        assert format_reward(reader.whole(target, ended=True), reader.form) == 1.0
        assert reader.shown(target).text.startswith("## I. Content")
        assert "Part 2" not in reader.shown(target).text


def test_an_answer_that_was_cut_is_not_closed(brief: ReasoningReader) -> None:
    headings = "\n".join(brief.form.sections)
    assert format_reward(brief.whole(headings, ended=True), brief.form) == 1.0
    assert format_reward(brief.whole(headings, ended=False), brief.form) == 0.5


def test_a_trace_without_features_teaches_nothing(whole: ReasoningReader) -> None:
    assert whole.target("### Part 1\nno features") is None
