"""An answer with thinking is written and read by the same tags; what is not well-formed is told apart."""

from pathlib import Path

import pytest

from benchmark import PromptRenderer, UserMistakes
from benchmark.thinking import ThinkingFormat, ThoughtAnswer, thinking_format

FORM = ThinkingFormat("</Thinking>", "<Agent Response>")


def test_what_is_written_is_read_back() -> None:
    text = FORM.write("  be brief\n", "Rye, with honey.")
    assert text == "be brief\n</Thinking>\n<Agent Response>\nRye, with honey."
    assert FORM.read(text) == ThoughtAnswer("be brief", "Rye, with honey.")


def test_the_tags_come_from_the_template(renderer: PromptRenderer) -> None:
    assert thinking_format(renderer, "response_thinking") == FORM


@pytest.mark.parametrize(
    "text",
    [
        "",
        "only thinking, cut by the limit",
        "thinking</Thinking>",
        "thinking</Thinking>\n<Agent Response>\n \n",
        "</Thinking>\n<Agent Response>\nno thinking at all",
        "<Agent Response>\nan answer without thinking",
        "thinking</Thinking> and a word between <Agent Response>\nanswer",
        "one</Thinking>\n<Agent Response>\nanswer</Thinking>",
        "one</Thinking>\n<Agent Response>\nanswer\n<Agent Response>\nanother",
        "one <Agent Response></Thinking>\n<Agent Response>\nanswer",
        "<Agent Response>\nanswer</Thinking>",
    ],
)
def test_a_malformed_answer_is_none(text: str) -> None:
    assert FORM.read(text) is None


def test_an_answer_cut_within_the_response_is_well_formed() -> None:
    assert FORM.read("think</Thinking><Agent Response>Rye, wi") == ThoughtAnswer("think", "Rye, wi")


def test_a_template_without_tags_is_a_mistake(tmp_path: Path, renderer: PromptRenderer) -> None:
    bundled = renderer.templates["response_thinking"]
    text = f"user: |\n{''.join(f'  {line}' + chr(10) for line in bundled.user.splitlines())}answer_prefix: Think!\n"
    (tmp_path / "response_thinking.yaml").write_text(text + "stop: </Agent Response>\n")
    with pytest.raises(UserMistakes, match="opening tag of the thinking"):
        thinking_format(PromptRenderer(tmp_path), "response_thinking")
