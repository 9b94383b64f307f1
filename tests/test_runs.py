"""A comparison from recipes to tables on the tiny model: its files, what it reuses, and how it goes on."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from recipe_helpers import base_estimator, write_recipes

from benchmark import RunFailure
from benchmark.progress import SilentProgress
from benchmark.subsets import SUBSET_KEYS
from recipes.columns import GOLDEN
from recipes.comparison import prepare_comparison
from recipes.display import StageLines
from recipes.run import FinishedRun, run_comparison
from scoring.block_files import BlockFiles
from scoring.pair_matrix import PairBlock

BASE = """kind: method
base_model: {model}
estimator: estimator.yaml
benchmark: {{source: mini, train_samples: 3, test_samples: 3, subsets: [id, korean, word_level]}}
generation: {{max_new_tokens: 6, batch_tokens: {batch_tokens}}}
scoring: {{embedding: {embedding}, resamples: 200, gaussian_baseline: false}}
compute: {{device: cpu, dtype: float32, threads: 2}}
"""
METHODS = {"icl": "config: {examples: 2}", "sft": "config: {training: {max_steps: 2, learning_rate: 1e-2}}"}
REMI_KEYS = {
    "base_model",
    "method",
    "subset",
    "shift",
    "remi",
    "model_mi",
    "reference_mi",
    "ci_low",
    "ci_high",
    "interval_reliable",
    "n_samples",
    "n_clusters",
    "n_pairs",
    "n_unscored",
    "unit",
    "estimator",
    "reasoning",
    "arithmetic",
    "pairs",
    "seed",
}


def write_comparison(folder: Path, model: Path, embedding: Path) -> Path:
    base = BASE.format(model=model, embedding=embedding, batch_tokens=4096)
    return write_recipes(folder, base, METHODS, base_estimator(model))


@pytest.fixture
def recipes(tmp_path: Path, tiny_model: Path, tiny_embedding: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = write_comparison(tmp_path / "recipes", tiny_model, tiny_embedding)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, tiny_embedding: Path) -> Path:
    """Return the directory of a run of the recipes as they are; tests leave it so."""
    folder = tmp_path_factory.mktemp("straight")
    recipes = write_comparison(folder / "recipes", tiny_model, tiny_embedding)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(recipes)
        compare(recipes, folder / "out")
    return folder / "out"


@pytest.fixture
def out(straight: Path, tmp_path: Path) -> Path:
    """Return a copy of that run to go on with."""
    return shutil.copytree(straight, tmp_path / "out")


def compare(folder: Path, out: Path, *overrides: str) -> tuple[FinishedRun, list[str]]:
    told: list[str] = []
    comparison = prepare_comparison([str(folder)], list(overrides))
    finished = run_comparison(comparison, out, progress=SilentProgress(), observer=StageLines(told.append))
    return finished, [" ".join(line.split()) for line in told]


def read(path: Path) -> Any:  # noqa: ANN401
    return json.loads(path.read_text(encoding="utf-8"))


def tables(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((out / "tables").iterdir())}


def block(out: Path, column: str, subset: str) -> PairBlock:
    (index,) = out.glob("stages/likelihoods-*/blocks.json")
    return BlockFiles(out / read(index)[column][subset]).load()


def test_the_files_that_others_read_have_their_promised_form(straight: Path) -> None:
    scores = read(straight / "scores" / "remi.json")
    assert len(scores) == 2 * 3 * 2
    assert all(set(row) == REMI_KEYS for row in scores)
    assert {row["unit"] for row in scores} == {"nats_per_token", "nats_per_response"}
    assert {row["arithmetic"] for row in scores} == {"exact"}
    assert all("w/o Reasoning" in row["estimator"] and row["reasoning"] is False for row in scores)
    for method in ("icl", "sft"):
        rows = [json.loads(line) for line in (straight / "responses" / f"{method}.jsonl").read_text().splitlines()]
        assert len(rows) == 9
        assert all(set(row) == {"sample_id", "method", "response", "reasoning", "finish_reason"} for row in rows)
    manifest = read(straight / "manifest.json")
    for key in (
        "recipes",
        "methods",
        "seed",
        "hashes",
        "package_versions",
        "git_revision",
        "finished_at",
        "device",
        "compute",
        "stages",
    ):
        assert key in manifest
    assert all(stage["seconds"] >= 0 and stage["peak_memory"] > 0 for stage in manifest["stages"])
    counted = {stage["name"]: stage["tokens"] for stage in manifest["stages"]}
    assert all(counted[name] > 0 for name in ("policy/sft", "responses/icl", "responses/sft", "likelihoods"))
    stems, endings = ("table20", "table20_intervals"), ("csv", "md", "tex")
    assert sorted(tables(straight)) == [f"{stem}.{ending}" for stem in stems for ending in endings]


def test_scores_follow_from_the_stored_blocks(straight: Path) -> None:
    from scoring.club import club_estimate

    golden, sft = (block(straight, name, "id") for name in (GOLDEN, "sft"))
    expected = club_estimate(sft.means_N_N) - club_estimate(golden.means_N_N)
    rows = read(straight / "scores" / "remi.json")
    (row,) = [r for r in rows if (r["method"], r["subset"], r["unit"]) == ("sft", "id", "nats_per_token")]
    assert row["remi"] == pytest.approx(expected)


def test_running_again_reuses_everything_and_changes_no_byte(recipes: Path, out: Path) -> None:
    before = tables(out)
    _, told = compare(recipes, out)
    assert all(line.startswith("reused") for line in told)
    assert tables(out) == before


@pytest.mark.slow
def test_two_runs_from_nothing_give_equal_bytes(recipes: Path, straight: Path, tmp_path: Path) -> None:
    compare(recipes, tmp_path / "again")
    assert tables(tmp_path / "again") == tables(straight)


def test_a_changed_setting_remakes_what_hangs_on_it_and_nothing_else(recipes: Path, out: Path) -> None:
    sft = recipes / "sft.yaml"
    sft.write_text(sft.read_text().replace("1e-2", "2e-2"))
    _, told = compare(recipes, out)
    done = {line.split()[1]: line.split()[0] for line in told}
    untouched = {"policy/icl", "responses/icl", "embeddings/icl", "embeddings/samples", "estimator", "divergences"}
    assert {name for name, what in done.items() if what == "reused"} == untouched
    assert len(list(out.glob("stages/blocks/*/block.npz"))) == 3 * (1 + 1 + 2)  # golden, icl, and sft of before and now


@pytest.mark.slow
def test_another_way_of_answering_trains_nothing_again(recipes: Path, out: Path) -> None:
    _, told = compare(recipes, out, "generation.max_new_tokens=4")
    done = {line.split()[1]: line.split()[0] for line in told}
    assert {name for name, what in done.items() if what == "reused"} == {
        *("policy/icl", "policy/sft", "estimator"),
        *("embeddings/samples", "divergences"),
    }
    rows = [json.loads(line) for line in (out / "responses" / "sft.jsonl").read_text().splitlines()]
    assert len(rows) == 9


def test_responses_with_unicode_line_ends_are_read_back_whole(tmp_path: Path) -> None:
    from benchmark.run_store import read_jsonl, write_jsonl

    rows = [{"response": "one\u2028two\x85three\x0cfour\nfive\r"}, {"response": None}]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    assert read_jsonl(tmp_path / "rows.jsonl") == rows
    write_jsonl(tmp_path / "none.jsonl", [])
    assert read_jsonl(tmp_path / "none.jsonl") == []


def test_adding_a_method_leaves_the_other_columns_alone(recipes: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (recipes / "sft.yaml").rename(tmp_path / "sft.yaml")
    compare(recipes, out)
    blocks = {path: path.stat().st_mtime_ns for path in out.glob("stages/blocks/*/block.npz")}
    assert len(blocks) == 6
    shutil.move(tmp_path / "sft.yaml", recipes / "sft.yaml")
    compare(recipes, out)
    assert {path: path.stat().st_mtime_ns for path in blocks} == blocks
    assert len(list(out.glob("stages/blocks/*/block.npz"))) == 9


def test_a_torn_batch_is_run_again_whole_to_the_same_answers(
    recipes: Path, tmp_path: Path, tiny_model: Path, tiny_embedding: Path
) -> None:
    base = BASE.format(model=tiny_model, embedding=tiny_embedding, batch_tokens=3000)
    (recipes / "_base.yaml").write_text(base)
    out = tmp_path / "out"
    compare(recipes, out)
    folder = next(out.glob("stages/responses-sft-*"))
    whole = (folder / "responses.jsonl").read_bytes()
    lines = (folder / "batches.jsonl").read_bytes().splitlines(keepends=True)
    assert len(lines) > 1
    (folder / "batches.jsonl").write_bytes(lines[0] + lines[1][:40])
    (folder / "responses.jsonl").unlink()
    (folder / "done.json").unlink()
    before = tables(out)
    _, told = compare(recipes, out)
    assert "resumed responses/sft" in told
    assert (folder / "responses.jsonl").read_bytes() == whole
    assert tables(out) == before


def test_a_prompt_too_long_for_the_context_is_unscored_counted_and_noted(
    recipes: Path, tmp_path: Path, tiny_model: Path, tiny_embedding: Path
) -> None:
    short = tmp_path / "short"
    shutil.copytree(tiny_model, short)
    config = read(short / "config.json")
    (short / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 1300}))
    (recipes / "_base.yaml").write_text(BASE.format(model=short, embedding=tiny_embedding, batch_tokens=4096))
    (recipes / "icl.yaml").unlink()
    out = tmp_path / "out"
    compare(recipes, out)
    rows = [json.loads(line) for line in (out / "responses" / "sft.jsonl").read_text().splitlines()]
    unanswered = [row for row in rows if row["finish_reason"] == "prompt_too_long"]
    assert len(unanswered) == 3
    assert all(row["sample_id"].startswith("OOD1Test-korean") for row in unanswered)
    assert all(row["response"] is None for row in unanswered)
    scores = read(out / "scores" / "remi.json")
    counted = sum(row["n_unscored"] for row in scores if row["unit"] == "nats_per_token")
    assert counted == len(unanswered)
    text = (out / "tables" / "table20.md").read_text()
    assert f"Unscored samples of sft on {short}: {len(unanswered)}." in text
    assert "prompt was longer than the context" in text
    missing = [row["remi"] for row in scores if row["n_samples"] < 3]
    assert missing
    assert set(missing) == {None}
    assert " – |" in text


@pytest.mark.slow
def test_an_estimators_directory_serves_in_place_of_its_recipe(
    recipes: Path, straight: Path, tmp_path: Path, tiny_model: Path
) -> None:
    from scoring.estimator import write_base_estimator

    (recipes / "estimator.yaml").unlink()
    write_base_estimator(str(tiny_model), tmp_path / "estimator")
    compare(recipes, tmp_path / "out", f"estimator={tmp_path / 'estimator'}")
    assert tables(tmp_path / "out") == tables(straight)


def test_a_full_disk_ends_the_run_and_what_was_done_stays(
    recipes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr("scoring.block_files.save_block", lambda path, block: _raise_full(path))
        with pytest.raises(RunFailure, match="no disk space left"):
            compare(recipes, out)
    _, told = compare(recipes, out)
    assert "reused responses/sft" in told
    assert (out / "tables" / "table20.md").is_file()


def _raise_full(path: Path) -> None:
    from benchmark.run_store import disk_errors

    with disk_errors(path):
        raise OSError(28, "No space left on device")


def test_all_twelve_subsets_have_their_place(mini: object) -> None:
    assert tuple(mini.test) == SUBSET_KEYS  # type: ignore[attr-defined]
