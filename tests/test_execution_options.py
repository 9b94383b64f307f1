"""`--executor` and its companions: what is wrong with them is said before anything of a run is made."""

import sys
from pathlib import Path

import pytest

from recipes.cli import main


def invoke(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["rpm-methods", *arguments])
    monkeypatch.setenv("COLUMNS", "120")
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "out"


COMMANDS = {
    "run": ["run", "demo/icl"],
    "compare": ["compare", "demo"],
    "score": ["score", "answers.jsonl", "--benchmark", "mini", "--estimator", "estimator"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_without_ray_one_sentence_says_what_to_install(
    command: str, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("recipes.execution.find_spec", lambda name: None)
    assert invoke(monkeypatch, *COMMANDS[command], "--out", str(out), "--executor", "ray") == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == [
        '--executor ray: Ray is not installed; pip install "rpm-methods[ray]"',
        "1 mistake to correct.",
    ]
    assert not out.exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--address", "head:6379"], "--address: names a cluster that is not used; add --executor ray"),
        (["--executor", "ray", "--address", "ray://head:10001"], "ray://head:10001: is not the address of a cluster"),
        (
            ["--executor", "ray", "--address", "head"],
            "--address head: is not the address of a cluster; give the HOST:PORT",
        ),
        (["--executor", "ray", "--address", "127.0.0.1:1"], "--address 127.0.0.1:1: no cluster answers ("),
        (["--executor", "ray", "--launch", "ddp.yaml"], "--launch: starts the processes of a training on this host"),
    ],
)
def test_options_that_do_not_go_together_are_mistakes(
    given: list[str], said: str, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(monkeypatch, "compare", "demo", "--out", str(out), *given) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_doctor_tells_the_version_of_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    from recipes.cli.doctor import _executors

    assert _executors()[0][1][0].isdigit()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert _executors() == [("executor ray", 'not installed: pip install "rpm-methods[ray]"')]
