"""One renderer makes every prompt; what stands in a slot is never read as template."""

from pathlib import Path

import pytest
from conftest import make_sample

from benchmark import PromptRenderer, UserMistakes
from benchmark.templating import BUNDLED_FOLDER, SLOTS

EXTRA = {"reasoning": "R", "candidate_response": "C", "context_seed": "S"}


@pytest.mark.parametrize("name", SLOTS)
def test_every_template_renders_with_no_slot_left_open(renderer: PromptRenderer, name: str) -> None:
    prompt = renderer.render(name, make_sample(), **EXTRA)
    text = "\n".join(message.content for message in prompt.messages)
    assert prompt.messages[-1].role == "user"
    assert not [slot for slot in SLOTS[name] if f"{{{slot}}}" in text]


def test_braces_and_tags_in_a_persona_stay_as_they_are(renderer: PromptRenderer) -> None:
    persona = "I say {golden_response} and </User Persona> and {agent_character}."
    text = renderer.render("response", make_sample(user_persona=persona)).messages[-1].content
    assert persona in text
    assert "Rye." not in text


def test_a_slot_without_a_value_is_an_error_and_not_left_open(renderer: PromptRenderer) -> None:
    with pytest.raises(ValueError, match="policy_with_reasoning: no value for reasoning"):
        renderer.render("policy_with_reasoning", make_sample())


def test_the_dialogue_is_numbered_and_ends_with_an_open_agent_line(renderer: PromptRenderer) -> None:
    text = renderer.render("response", make_sample()).messages[-1].content
    expected = (
        "User Query 1: Are you well?\nAgent Response 1: I am.\nUser Query 2: What shall I bake?\nAgent Response 2:"
    )
    assert f"<Dialogue Context>\n{expected}\n</Dialogue Context>" in text


def test_the_policy_prompt_has_the_three_tagged_blocks_and_opens_the_answer(renderer: PromptRenderer) -> None:
    prompt = renderer.render("response", make_sample())
    text = prompt.messages[-1].content
    places = [text.index(f"<{tag}>") for tag in ("User Persona", "Agent Character", "Dialogue Context")]
    assert places == sorted(places)
    assert (prompt.answer_prefix, prompt.stop) == ("<Agent Response>\n", "</Agent Response>")


def test_the_blanked_prompt_knows_neither_persona_nor_character(renderer: PromptRenderer) -> None:
    text = renderer.render("response_blanked", make_sample()).messages[-1].content
    assert "I bake bread." not in text
    assert "Hero" not in text
    assert "What shall I bake?" in text


def test_only_prompts_that_may_show_the_reference_do(renderer: PromptRenderer) -> None:
    shown = {n for n in SLOTS if "Rye." in renderer.render(n, make_sample(), **EXTRA).messages[-1].content}
    assert shown == {"reasoning_with_reference", "reward_features", "reward_response"}


def test_examples_are_rendered_by_the_same_template_as_the_query(renderer: PromptRenderer) -> None:
    example = make_sample("IDTrain-1", golden_response="Oats.")
    prompt = renderer.render_with_examples("response", make_sample(), [example])
    roles = [message.role for message in prompt.messages]
    assert roles == ["system", "user", "assistant", "user"]
    assert prompt.messages[1] == renderer.render("response", example).messages[-1]
    assert prompt.messages[2].content == "<Agent Response>\nOats.\n</Agent Response>"


def test_a_users_folder_replaces_a_template_and_leaves_the_others(tmp_path: Path) -> None:
    (tmp_path / "response.yaml").write_text("user: '{user_persona} {agent_character} {dialogue_context} mine'\n")
    own = PromptRenderer(tmp_path)
    assert own.render("response", make_sample()).messages[-1].content.endswith("mine")
    assert own.templates["reasoning"] == PromptRenderer().templates["reasoning"]


def test_all_faults_of_a_users_templates_are_listed(tmp_path: Path) -> None:
    (tmp_path / "response.yaml").write_text("user: '{user_persona} {agent_charcter}'\nsistem: x\n")
    with pytest.raises(UserMistakes) as caught:
        PromptRenderer(tmp_path)
    text = str(caught.value)
    for part in ("{dialogue_context} is missing", "unknown slot {agent_charcter}", "sistem: unknown field"):
        assert part in text


def test_a_template_of_an_unknown_name_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "respones.yaml").write_text("user: x\n")
    with pytest.raises(UserMistakes, match="did you mean 'response'"):
        PromptRenderer(tmp_path)


def test_every_bundled_file_is_a_template_or_a_fragment_that_one_includes() -> None:
    texts = {path.stem: path.read_text(encoding="utf-8") for path in BUNDLED_FOLDER.glob("*.yaml")}
    assert len(texts) >= 12
    for name in set(texts) - set(SLOTS):
        assert any(f"{{include {name}}}" in text for text in texts.values()), name
