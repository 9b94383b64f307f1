"""Methods that start from others: the parent is planned, trained once, and what hangs on a change is made anew."""

from pathlib import Path

import pytest
from recipe_helpers import base_estimator, write_recipes

from benchmark import UserMistakes
from benchmark.progress import SilentProgress
from recipes.comparison import prepare_comparison
from recipes.display import StageLines
from recipes.run import run_comparison
from rpm_methods.artifact import read_artifact

BASE = """kind: method
base_model: {model}
estimator: estimator.yaml
benchmark: {{source: mini, train_samples: 3, test_samples: 3, subsets: [id]}}
generation: {{max_new_tokens: 6}}
scoring: {{embedding: {embedding}, resamples: 200, gaussian_baseline: false}}
compute: {{device: cpu, dtype: float32, threads: 1}}
"""
STEPS = "{max_steps: 2, learning_rate: 1e-2}"
METHODS = {
    "sft": f"config: {{training: {STEPS}}}",
    "dpo": f"start: sft\nconfig: {{training: {STEPS}}}",
    "rft": f"start: sft\nconfig: {{candidates: 2, training: {STEPS}}}",
}


@pytest.fixture
def recipes(tmp_path: Path, tiny_model: Path, tiny_embedding: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    base = BASE.format(model=tiny_model, embedding=tiny_embedding)
    folder = write_recipes(tmp_path / "recipes", base, METHODS, base_estimator(tiny_model))
    monkeypatch.chdir(folder)
    return folder


def run(names: list[str], out: Path) -> dict[str, str]:
    """Run recipes and return what was done with each stage."""
    told: list[str] = []
    run_comparison(prepare_comparison(names, []), out, progress=SilentProgress(), observer=StageLines(told.append))
    return {line.split()[1]: line.split()[0] for line in told if line.split()[0] in ("reused", "started")}


def test_a_parent_that_is_not_compared_is_trained_by_the_recipe_that_start_names(recipes: Path, tmp_path: Path) -> None:
    comparison = prepare_comparison(["dpo.yaml"], [])
    ((key, parent),) = comparison.parents.items()
    assert key[1] == "sft"
    assert parent.config["training"]["learning_rate"] == 1e-2
    assert [recipe.method for recipe in comparison.recipes] == ["dpo"]
    done = run(["dpo.yaml"], tmp_path / "out")
    assert list(done)[:2] == ["policy/sft", "policy/dpo"]
    assert "responses/sft" not in done
    rows = (tmp_path / "out" / "tables" / "table20.csv").read_text().splitlines()[1:]
    assert [row.split(",")[1] for row in rows] == ["dpo"]


def test_a_parent_without_a_recipe_has_its_methods_defaults(recipes: Path) -> None:
    text = (recipes / "dpo.yaml").read_text().replace("start: sft\n", "")
    (recipes / "dpo.yaml").write_text(text)
    (parent,) = prepare_comparison(["dpo.yaml"], []).parents.values()
    assert parent.config == {"training": {}, "lora": {}}


def test_a_start_that_is_no_recipe_of_the_parent_is_a_mistake(recipes: Path) -> None:
    for name in ("rft", "nowhere"):
        text = (recipes / "dpo.yaml").read_text()
        (recipes / "dpo.yaml").write_text(text.replace("start: sft", f"start: {name}"))
        with pytest.raises(UserMistakes, match=f"'{name}' is no recipe of sft, from which dpo starts"):
            prepare_comparison(["dpo.yaml"], [])
        (recipes / "dpo.yaml").write_text(text)


@pytest.mark.slow
def test_one_parent_serves_all_and_a_change_remakes_what_hangs_on_it_alone(recipes: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run([str(recipes)], out)
    assert [name for name in done if name.startswith("policy/")] == ["policy/sft", "policy/dpo", "policy/rft"]
    again = run([str(recipes)], out)
    assert set(again.values()) == {"reused"}
    (recipes / "dpo.yaml").write_text((recipes / "dpo.yaml").read_text().replace("1e-2", "2e-2"))
    changed = run([str(recipes)], out)
    assert {name for name, what in changed.items() if what == "started" and "policy" in name} == {"policy/dpo"}
    (recipes / "sft.yaml").write_text((recipes / "sft.yaml").read_text().replace("1e-2", "2e-2"))
    changed = run([str(recipes)], out)
    assert {name for name, what in changed.items() if what == "started" and "policy" in name} == {
        *("policy/sft", "policy/dpo", "policy/rft")
    }


def test_the_artifact_stays_whole_without_its_parents(recipes: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(["dpo.yaml"], out)
    (folder,) = out.glob("stages/policy-dpo-*")
    artifact = read_artifact(folder)
    assert artifact.adapters == ("start-0", "adapter")
    assert all((folder / name / "adapter_model.safetensors").is_file() for name in artifact.adapters)
