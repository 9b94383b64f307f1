"""Each stage of a comparison reads what it says that it needs and nothing else, so that stages can run side by side."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from spread_helpers import write_comparison

from benchmark import RunFailure, UserMistakes
from benchmark.progress import SilentProgress
from benchmark.run_store import RunStore
from recipes.comparison import prepare_comparison
from recipes.environment import settle_compute
from recipes.plan import Planner
from recipes.stage import do_stage

SHARED = {"blocks", "reasonings", "locks"}
"""Folders that several stages write, which are not any one's."""


@contextmanager
def only(stages: Path, seen: set[Path]) -> Iterator[None]:
    """Hide the folders of all stages but some."""
    hidden = stages.parent / "hidden"
    hidden.mkdir(exist_ok=True)
    moved = [path for path in stages.iterdir() if path.name not in SHARED and path not in seen]
    for path in moved:
        path.rename(hidden / path.name)
    try:
        yield
    finally:
        for path in moved:
            (hidden / path.name).rename(path)


@pytest.mark.slow
def test_a_stage_runs_where_only_what_it_needs_is_there_and_fails_where_one_of_it_is_not(
    tmp_path: Path, tiny_model: Path, tiny_embedding: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write_comparison(tmp_path / "recipes", tiny_model, tiny_embedding))
    comparison, store = prepare_comparison(["."], []), RunStore(tmp_path / "out")
    planner = Planner(comparison, settle_compute(comparison.shared.compute), store, SilentProgress())
    folders: dict[str, Path] = {}
    for stage in planner.stages():
        needed = {folders[name] for name in stage.needs}
        folders[stage.name] = store.make_stage_folder(stage.name, stage.key)
        with only(store.folder / "stages", {folders[stage.name], *needed}):
            do_stage(stage, folders[stage.name], store.lock_file(stage.name))
    kinds = {name.split("/")[0] for name in folders}
    assert kinds >= {"policy", "responses", "estimator", "reasoning", "likelihoods", "embeddings", "baseline", "tokens"}
    needs = [(place, name) for place, stage in enumerate(planner.stages()) for name in stage.needs]
    assert len(needs) > 30
    (tmp_path / "scratch").mkdir()
    for place, name in needs:
        stage = planner.stages()[place]  # each time anew: some keep what they have read
        kept = {folders[other] for other in stage.needs if other != name}
        with only(store.folder / "stages", kept), pytest.raises((RunFailure, UserMistakes, OSError)):
            stage.work(tmp_path / "scratch")
            raise AssertionError(f"{stage.name} says that it needs {name} and does without")
