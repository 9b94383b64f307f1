"""`rpm-methods estimator`: train a recipe, look at what came of it, score with it, and every mistake in one go."""

import json
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError
from test_command_line import invoke
from test_estimator_training import SETTINGS

from benchmark import Benchmark
from recipes.schema import CoRLEstimatorRecipe

Shown = pytest.CaptureFixture[str]


@pytest.fixture
def recipe(tiny_model: Path, tmp_path: Path) -> Path:
    content = {
        "kind": "estimator",
        "estimator": "corl",
        "model": str(tiny_model),
        "benchmark": {"subsets": ["german", "film"], "train_samples": 4},
        "fit_on": ["german", "film"],
        "folds": 2,
        "config": {**SETTINGS, "iterations": 0},
        "compute": {"device": "cpu", "dtype": "float32", "threads": 1},
    }
    path = tmp_path / "estimator.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_train_leaves_an_estimator_that_info_describes_and_score_takes(
    monkeypatch: pytest.MonkeyPatch, capsys: Shown, recipe: Path, tmp_path: Path, tiny_embedding: Path, mini: Benchmark
) -> None:
    out = tmp_path / "out"
    assert invoke(monkeypatch, "estimator", "train", str(recipe), "--out", str(out)) == 0
    trained = capsys.readouterr().out
    assert "2 folds" in trained
    assert "finished estimator" in trained
    assert invoke(monkeypatch, "estimator", "info", str(out / "estimator")) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "24: fold 0 scores 12, fold 1 scores 12; others by fold 0" in shown
    assert "reasoning_features, at most 8 tokens" in shown
    assert "fit_on ['german', 'film']" in shown
    manifest = json.loads((out / "manifest.json").read_text())
    (stage,) = manifest["stages"]
    assert [part["place"] for part in stage["parts"]] == [
        f"fold-{fold}/cold-start/{name}" for fold in (0, 1) for name in ("1-generator-sft", "2-policy-sft")
    ]
    assert stage["tokens"] == sum(part["tokens"] for part in stage["parts"]) > 0
    assert (out / "training" / "README.md").is_file()

    assert invoke(monkeypatch, "estimator", "train", str(recipe), "--out", str(out)) == 0
    assert "reused" in capsys.readouterr().out

    answers = tmp_path / "answers.jsonl"
    shared = {"method": "mine", "response": "Ja.", "reasoning": None, "finish_reason": "stop"}
    rows = [{"sample_id": sample.sample_id, **shared} for sample in mini.test["german"]]
    answers.write_text("".join(json.dumps(row) + "\n" for row in rows))
    scored = tmp_path / "scored"
    settings = ["scoring.gaussian_baseline=false", f"scoring.embedding={tiny_embedding}", "compute.dtype=float32"]
    arguments = ["--benchmark", "mini", "--estimator", str(out / "estimator"), "--out", str(scored)]
    sets = [part for setting in settings for part in ("--set", setting)]
    assert invoke(monkeypatch, "score", str(answers), *arguments, *sets) == 0
    (row,) = [r for r in json.loads((scored / "scores/remi.json").read_text()) if r["unit"] == "nats_per_token"]
    assert row["reasoning"] is True
    assert row["estimator"].endswith("2 folds")
    assert row["n_pairs"] == 2 * 6 * 5, "negatives stay in their fold"
    assert row["remi"] is not None


def test_all_mistakes_in_a_recipe_are_listed_and_nothing_is_made(
    monkeypatch: pytest.MonkeyPatch, capsys: Shown, recipe: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    wrong = ["folds=9", "config.reasoning=nowhere.jsonl", "config.itterations=2"]
    sets = [part for setting in wrong for part in ("--set", setting)]
    assert invoke(monkeypatch, "estimator", "train", str(recipe), "--out", str(out), *sets) == 2
    shown = capsys.readouterr().err
    assert "did you mean 'iterations'?" in shown
    assert "'nowhere.jsonl' is neither 'mini' nor a file" in shown
    assert invoke(monkeypatch, "estimator", "train", str(recipe), "--out", str(out), "--set", "folds=9") == 2
    shown = capsys.readouterr().err
    assert "folds: german" in shown
    assert "folds: film" in shown
    assert not out.exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("fit_on=[train]", "nothing to make folds of"),
        ("fit_on=[chinese]", "there are no samples of chinese"),
        ("model=nothing", "no model 'nothing'"),
        ("estimator=core", "estimator"),
        ("config.imitation.lora.r=3", "in `lora` of the whole"),
    ],
)
def test_a_setting_that_cannot_be_is_a_mistake(
    monkeypatch: pytest.MonkeyPatch, capsys: Shown, recipe: Path, tmp_path: Path, override: str, message: str
) -> None:
    code = invoke(monkeypatch, "estimator", "train", str(recipe), "--out", str(tmp_path / "o"), "--set", override)
    assert code == 2
    assert message in capsys.readouterr().err


def test_held_out_perplexity_is_not_asked_for_where_nothing_is_held_out() -> None:
    config = {"reasoning": "mini", "held_out": {"samples": 4}}
    recipe = {"kind": "estimator", "estimator": "corl", "model": "smollm2-135m", "config": config}
    assert CoRLEstimatorRecipe.model_validate(recipe).config.held_out.samples == 4
    with pytest.raises(ValidationError, match="without folds nothing is held out"):
        CoRLEstimatorRecipe.model_validate({**recipe, "folds": None})


def test_only_an_estimator_that_is_trained_can_be_trained(
    monkeypatch: pytest.MonkeyPatch, capsys: Shown, tmp_path: Path
) -> None:
    assert invoke(monkeypatch, "estimator", "train", "demo/sft", "--out", str(tmp_path / "o")) == 2
    assert "is not the recipe of one estimator that is trained" in capsys.readouterr().err
    assert invoke(monkeypatch, "estimator", "info", str(tmp_path)) == 2
