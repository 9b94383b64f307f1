"""Adapters trained elsewhere become an estimator: a stack for each model, under the prompts of their training."""

import json
from pathlib import Path

import pytest
import torch
from conftest import make_sample
from estimator_helpers import make_adapter
from test_command_line import invoke

from benchmark import UserMistakes
from scoring.imported_estimator import import_estimator
from scoring.models.causal_lm import load_causal_lm, load_weights, merge_adapter
from scoring.reasoning_text import reasoning_reader

REASONING = """\
user: |
  Persona: {user_persona} Character: {agent_character} Dialogue: {dialogue_context}
  Think under these headings.
  ### Part 1
  ### Part 2
  ```
  [Core Features of the Golden Response]
  ## I. Content
  ```
"""
POLICY = """\
user: |
  {user_persona} / {agent_character} / {dialogue_context} / {reasoning}
answer_prefix: |
  ## Agent Response
"""


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    folder = tmp_path / "prompts"
    folder.mkdir()
    (folder / "reasoning.yaml").write_text(REASONING)
    (folder / "policy_with_reasoning.yaml").write_text(POLICY)
    return folder


@pytest.fixture
def stacks(tiny_model: Path, tmp_path: Path) -> dict[str, list[Path]]:
    """Return what was released: of both models an adapter of the cold start, and one on top of it."""
    names = {"generator": ["sft", "rl"], "policy": ["sft", "rl"]}
    return {
        role: [
            make_adapter(tiny_model, tmp_path / role / name, seed) for seed, name in enumerate(parts, start=len(role))
        ]
        for role, parts in names.items()
    }


def test_the_stacks_are_merged_in_order_under_their_own_prompts(
    tiny_model: Path, templates: Path, stacks: dict[str, list[Path]], tmp_path: Path
) -> None:
    estimator = import_estimator(str(tiny_model), tmp_path / "out", templates=templates, **stacks)  # type: ignore[arg-type]
    assert estimator.n_folds == 1
    assert [path.name for path in estimator.adapters(0, "generator")] == ["0-sft", "1-rl"]
    prompt = estimator.prompt(make_sample(), "- dry").messages[-1].content
    assert prompt.endswith("/ - dry")
    assert "I bake bread." in estimator.reasoning_prompt(make_sample()).messages[-1].content
    reader = reasoning_reader(estimator.renderer, "reasoning")
    assert reader.shown("x\n```\n[Core Features of the Golden Response]\n- dry\n```").text == "- dry"
    location = estimator.base_location()
    loaded = load_causal_lm(location, dtype="float32", device="cpu", adapters=estimator.adapters(0, "policy")).model
    expected = load_weights(location, "float32").eval()
    for adapter in stacks["policy"]:
        expected = merge_adapter(expected, adapter)
    ids = torch.arange(9)[None]
    with torch.inference_mode():
        torch.testing.assert_close(loaded(ids).logits, expected(ids).logits)


def test_an_adapter_of_another_base_is_noted(
    tiny_model: Path, templates: Path, stacks: dict[str, list[Path]], tmp_path: Path
) -> None:
    path = stacks["policy"][1] / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "base_model_name_or_path": "Qwen/Qwen3-8B"}))
    notes = import_estimator(str(tiny_model), tmp_path / "out", templates=templates, **stacks).description.notes  # type: ignore[arg-type]
    assert len(notes) == 2
    assert notes[0] == "imported: what it was fitted on is not known"
    assert notes[1].startswith("the adapter rl says that it was trained on Qwen/Qwen3-8B, not on")


def test_without_the_prompts_of_their_training_adapters_are_refused(
    tiny_model: Path, templates: Path, stacks: dict[str, list[Path]], tmp_path: Path
) -> None:
    (templates / "reasoning.yaml").unlink()
    with pytest.raises(UserMistakes, match=r"reasoning\.yaml: is missing; under other prompts"):
        import_estimator(str(tiny_model), tmp_path / "out", templates=templates, **stacks)  # type: ignore[arg-type]
    (templates / "reasoning.yaml").write_text(REASONING.replace("```", ""))
    with pytest.raises(UserMistakes, match="asks for no fenced block that opens with a"):
        import_estimator(str(tiny_model), tmp_path / "out", templates=templates, **stacks)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_the_command_names_what_it_made_and_lists_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tiny_model: Path,
    templates: Path,
    stacks: dict[str, list[Path]],
    tmp_path: Path,
) -> None:
    named = [part for role, paths in stacks.items() for path in paths for part in (f"--{role}", str(path))]
    rest = ["--templates", str(templates), "--out", str(tmp_path / "out")]
    assert invoke(monkeypatch, "estimator", "import", str(tiny_model), *named, *rest) == 0
    assert "note: imported" in capsys.readouterr().out
    assert invoke(monkeypatch, "estimator", "info", str(tmp_path / "out")) == 0
    assert "2 + 2 adapters" in " ".join(capsys.readouterr().out.split())
    wrong = ["--generator", str(tmp_path / "no"), "--policy", str(tmp_path / "neither"), *rest]
    assert invoke(monkeypatch, "estimator", "import", str(tiny_model), *wrong) == 2
    shown = capsys.readouterr().err
    assert "no/adapter_config.json: is missing" in shown
    assert "neither/adapter_model.safetensors: is missing" in shown
