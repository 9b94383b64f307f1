"""A benchmark that was built from nothing is validated and compared on, and the key that it took stands nowhere."""

import csv
from pathlib import Path

import pytest
from construction_helpers import builder, scripted
from endpoint_helpers import serve
from recipe_helpers import base_estimator, write_recipes
from test_command_line import invoke
from test_runs import METHODS

from benchmark.subsets import SUBSET_KEYS

KEY = "sk-very-secret-0123456789"
BASE = """kind: method
base_model: {model}
estimator: estimator.yaml
benchmark: {{source: "{source}"}}
generation: {{max_new_tokens: 6}}
scoring: {{embedding: {embedding}, resamples: 200, gaussian_baseline: false}}
compute: {{device: cpu, dtype: float32, threads: 2}}
"""
COUNTS = {"train": 20, "id": 7, **dict.fromkeys(SUBSET_KEYS[1:], 3)}
"""As few as give every subset an estimate."""


@pytest.mark.slow
def test_sixty_samples_are_built_validated_and_compared_on(
    tmp_path: Path,
    tiny_model: Path,
    tiny_embedding: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert sum(COUNTS.values()) == 60
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serve(scripted) as server:
        builder(server.url, tmp_path / "built", COUNTS).run()
    source = tmp_path / "built" / "benchmark.json"
    assert invoke(monkeypatch, "benchmark", "validate", str(source)) == 0

    base = BASE.format(model=tiny_model, embedding=tiny_embedding, source=source)
    recipes = write_recipes(tmp_path / "recipes", base, METHODS, base_estimator(tiny_model))
    monkeypatch.chdir(recipes)
    out = tmp_path / "out"
    assert invoke(monkeypatch, "compare", str(recipes), "--out", str(out)) == 0
    assert "The report:" in capsys.readouterr().out

    rows = list(csv.DictReader((out / "tables" / "table20.csv").open(encoding="utf-8")))
    assert [row["method"] for row in rows] == ["icl", "sft"]
    assert all(row[key] for row in rows for key in (*SUBSET_KEYS, "average"))
    written = [path for folder in (tmp_path / "built", out) for path in folder.rglob("*") if path.is_file()]
    assert len(written) > 100
    assert [path for path in written if KEY.encode() in path.read_bytes()] == []
