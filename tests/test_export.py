"""A policy of a run comes out as one model that answers as the policy does, and what cannot be meant is a mistake."""

import shutil
import sys
from pathlib import Path

import pytest
import torch
from policy_helpers import finished, stacked_policy

from benchmark import Benchmark, PromptRenderer, UserMistakes
from benchmark.run_store import write_json
from recipes.cli import main
from recipes.exporting import export_policy
from rpm_methods.artifact import read_artifact
from rpm_methods.policy import load_policy
from scoring.models.causal_lm import load_causal_lm, load_chat
from scoring.models.generation import Sampling, generate_batches
from scoring.models.resolver import locate_model

SAMPLING = Sampling(max_new_tokens=12)


@pytest.fixture
def run(tiny_model: Path, tmp_path: Path) -> Path:
    """Return a run directory with a trained DPO policy, one half trained, and responses."""
    stages = tmp_path / "run" / "stages"
    stacked_policy(locate_model(str(tiny_model)), stages / "policy-dpo-0123456789ab", SAMPLING, scale=0.3)
    finished(stages / "policy-dpo-0123456789ab", "policy/dpo", "0123456789abcdef")
    (stages / "policy-grpo-0123456789ab").mkdir()
    (stages / "responses-dpo-0123456789ab").mkdir()
    finished(stages / "responses-dpo-0123456789ab", "responses/dpo", "0123456789abcdef")
    return tmp_path / "run"


def test_the_exported_model_is_the_base_with_all_adapters_and_answers_as_the_policy(
    run: Path, tmp_path: Path, tiny_model: Path, mini: Benchmark, renderer: PromptRenderer
) -> None:
    made = export_policy(run, "dpo", tmp_path / "out" / "dpo", dtype="float32")
    policy = load_policy(read_artifact(made.artifact.folder), renderer=renderer, dtype="float32", device="cpu")
    exported = load_causal_lm(locate_model(str(made.folder)), dtype="float32", device="cpu")
    base = load_causal_lm(locate_model(str(tiny_model)), dtype="float32", device="cpu")
    prompts = policy.prompts([mini.test[key][0] for key in ("id", "german")])
    assert list(generate_batches(exported, prompts, SAMPLING)) == list(policy.generate(prompts, SAMPLING))
    ids = torch.arange(5, 25)[None]
    with torch.inference_mode():
        assert not torch.allclose(exported.model(ids).logits, base.model(ids).logits, atol=1e-2)
    assert sorted(path.suffix for path in made.folder.iterdir() if "model" in path.name) == [".safetensors"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["dpo"]


def test_a_model_without_a_chat_template_is_exported_with_the_one_its_prompts_are_written_with(
    run: Path, tmp_path: Path, tiny_model: Path, mini: Benchmark, renderer: PromptRenderer
) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(tiny_model, bare)
    (bare / "chat_template.jinja").unlink()
    folder = run / "stages" / "policy-sft-aaaaaaaaaaaa"
    stacked_policy(locate_model(str(bare)), folder, SAMPLING, scale=0.1)
    finished(folder, "policy/sft", "aaaaaaaaaaaaaaaa")
    export_policy(run, "sft", tmp_path / "out", dtype="float32")
    prompt = renderer.render("response", mini.test["id"][0])
    chats = [load_chat(locate_model(str(place))) for place in (bare, tmp_path / "out")]
    assert chats[0].tokenizer.chat_template is None
    assert chats[1].tokenizer.chat_template
    assert chats[0].encode_prompt(prompt) == chats[1].encode_prompt(prompt)


def test_the_command_says_where_the_model_lies_and_how_to_serve_it(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_json(run / "manifest.json", {"compute": {"dtype": "float32"}, "stages": []})
    monkeypatch.setattr(sys, "argv", ["rpm-methods", "export", str(run), "dpo", "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as caught:
        main()
    shown = capsys.readouterr().out
    assert caught.value.code == 0
    assert f"The dpo policy lies in {tmp_path / 'out'} (float32)." in shown
    assert f"vllm serve {tmp_path / 'out'} --served-model-name dpo" in shown.replace("\n", "")


def test_mistakes_are_found_together_and_leave_nothing(run: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("kept")
    with pytest.raises(UserMistakes) as caught:
        export_policy(run, "dop", tmp_path / "full", dtype="float16")
    said = str(caught.value)
    assert "dop: " in said and "holds no finished policy of this name; did you mean 'dpo'?" in said
    assert "is there already" in said
    assert "unknown number format 'float16'" in said
    assert (tmp_path / "full" / "file").read_text() == "kept"
    with pytest.raises(UserMistakes, match=r"grpo.*holds no finished policy"):
        export_policy(run, "grpo", tmp_path / "out")


def test_of_several_trainings_the_manifests_is_taken_or_one_is_named(run: Path, tmp_path: Path) -> None:
    other = run / "stages" / "policy-dpo-bbbbbbbbbbbb"
    shutil.copytree(run / "stages" / "policy-dpo-0123456789ab", other)
    finished(other, "policy/dpo", "bbbbbbbbbbbbbbbb")
    with pytest.raises(UserMistakes, match=r"several policies.*policy-dpo-0123456789ab, policy-dpo-bbbbbbbbbbbb"):
        export_policy(run, "dpo", tmp_path / "out", dtype="float32")
    named = export_policy(run, "policy-dpo-0123456789ab", tmp_path / "named", dtype="float32")
    assert named.artifact.folder.name == "policy-dpo-0123456789ab"
    stages = [{"name": "policy/dpo", "key": "bbbbbbbbbbbbbbbb"}]
    write_json(run / "manifest.json", {"compute": {"dtype": "float32"}, "stages": stages})
    assert export_policy(run, "dpo", tmp_path / "out").artifact.folder == other


def test_weights_trained_beside_quantised_ones_are_exported_only_on_request(run: Path, tmp_path: Path) -> None:
    write_json(run / "manifest.json", {"compute": {"dtype": "4bit"}, "stages": []})
    with pytest.raises(UserMistakes, match="the run's weights are in 4bit"):
        export_policy(run, "dpo", tmp_path / "out")
    assert export_policy(run, "dpo", tmp_path / "out", dtype="bfloat16").dtype == "bfloat16"
