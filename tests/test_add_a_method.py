"""The example of a method in a package of its own: installed into a folder, found, run by the recipe of its README."""

import importlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from benchmark import Benchmark

TESTS = Path(__file__).parent
EXAMPLE = TESTS.parent / "examples" / "add_a_method"
NAME = "persona_dropout"
CLI = ("-c", "from recipes.cli import main; main()")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder into which pip has installed the example, from a copy and without a network."""
    source, target = tmp_path_factory.mktemp("example") / "source", tmp_path_factory.mktemp("installed")
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    options = ("--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")
    subprocess.run([sys.executable, "-m", "pip", "install", *options, "--target", target, source], check=True)
    return target


@pytest.fixture
def my_method(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Return the example's module, imported from its folder."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    yield importlib.import_module("my_method")
    del sys.modules["my_method"]


def python(installed: Path, *arguments: str | Path, folder: Path = TESTS) -> str:
    """Run Python with the installed example in its path and return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "COLUMNS": "120"}
    command = [sys.executable, *map(str, arguments)]
    made = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert made.returncode == 0, made.stdout + made.stderr
    return made.stdout


def test_the_example_is_shorter_than_sixty_lines() -> None:
    assert len((EXAMPLE / "my_method.py").read_text().splitlines()) < 60


def test_the_example_drops_the_share_of_words_that_it_says_and_the_same_ones_again(
    my_method: ModuleType, mini: Benchmark
) -> None:
    drop_words = my_method.drop_words
    before = [sample.user_persona.split() for sample in mini.train]
    after = [drop_words(sample, 0.3, seed=1).user_persona.split() for sample in mini.train]
    assert after == [drop_words(sample, 0.3, seed=1).user_persona.split() for sample in reversed(mini.train)][::-1]
    assert after != [drop_words(sample, 0.3, seed=2).user_persona.split() for sample in mini.train]
    words = sum(map(len, before))
    assert 1 - sum(map(len, after)) / words == pytest.approx(0.3, abs=4 * (0.3 * 0.7 / words) ** 0.5)
    for persona, kept in zip(before, after, strict=True):
        rest = iter(persona)
        assert all(word in rest for word in kept)  # in the order of the persona
    assert [drop_words(sample, 0.0, seed=1).user_persona.split() for sample in mini.train] == before


@pytest.mark.slow
def test_an_installed_method_is_listed(installed: Path) -> None:
    assert re.search(rf"^{NAME} .* sft +base +yes", python(installed, *CLI, "list"), re.MULTILINE)


@pytest.mark.slow
def test_the_recipe_of_the_readme_runs_the_installed_method_into_the_table(
    installed: Path, tmp_path: Path, tiny_model: Path, tiny_embedding: Path
) -> None:
    (recipe,) = re.findall(r"```yaml\n(.*?)```", (EXAMPLE / "README.md").read_text(), re.DOTALL)
    (tmp_path / f"{NAME}.yaml").write_text(recipe)
    (tmp_path / "estimator.yaml").write_text(f"kind: estimator\nestimator: base\nmodel: {tiny_model}\n")
    small = {
        "base_model": tiny_model,
        "estimator": tmp_path / "estimator.yaml",
        "scoring.embedding": tiny_embedding,
        "benchmark.subsets": "[id, german]",
        "benchmark.train_samples": 4,
        "generation.max_new_tokens": 6,
        "config.training": "{max_steps: 2, learning_rate: 1.0e-2}",
        "compute.device": "cpu",
    }
    settings = [part for key, value in small.items() for part in ("--set", f"{key}={value}")]
    python(installed, *CLI, "run", f"{NAME}.yaml", *settings, "--out", "out", folder=tmp_path)
    head, row = (tmp_path / "out" / "tables" / "table20.csv").read_text().splitlines()
    values = dict(zip(head.split(","), row.split(","), strict=True))
    assert NAME in values.values()
    assert "| SFT, persona dropout |" in re.sub(" +", " ", (tmp_path / "out" / "tables" / "table20.md").read_text())


@pytest.mark.slow
def test_an_installed_method_keeps_the_contract(installed: Path) -> None:
    shown = python(installed, "-m", "pytest", "-q", TESTS / "test_methods_contract.py", "-k", NAME, folder=TESTS.parent)
    found = re.search(r"(\d+) passed", shown)
    assert found is not None
    assert int(found[1]) >= 5, shown
