"""`rpm-methods score` from end to end on the tiny model: what it shares, reuses, resumes, labels and refuses."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from score_helpers import (
    Workplace,
    block,
    echo,
    golden,
    only,
    outcome,
    read_scores,
    settings,
    times,
    write_benchmark,
    write_responses,
)

from benchmark import RunFailure, UserMistakes
from benchmark.progress import SilentProgress
from recipes import subset_pairs
from recipes.cli import main
from recipes.comparison import prepare_comparison
from recipes.display import StageLines
from recipes.run import run_comparison
from recipes.score import prepare_scoring
from scoring.estimator import DESCRIPTION, write_base_estimator
from scoring.pair_matrix import score_row

RECIPE = """kind: method
base_model: {model}
method: sft
config: {{training: {{max_steps: 1}}}}
estimator: {estimator}
benchmark: {{source: {benchmark}, train_samples: 2}}
generation: {{max_new_tokens: 6}}
scoring: {{embedding: {embedding}, resamples: 200, gaussian_baseline: false}}
compute: {{device: cpu, dtype: float32, threads: 1}}
"""
LABELLED = ("remi", "remid", "differences", "bounds")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, tiny_embedding: Path) -> Workplace:
    folder = tmp_path_factory.mktemp("score")
    benchmark = write_benchmark(folder / "b.json")
    write_base_estimator(str(tiny_model), folder / "estimator")
    responses = write_responses(folder / "answers.jsonl", {"echo": echo(benchmark)})
    made = Workplace(benchmark, folder / "estimator", tiny_embedding, tiny_model, responses, folder / "out")
    made.score(responses, made.out)
    return made


@pytest.fixture
def out(place: Workplace, tmp_path: Path) -> Path:
    """Return a copy of the finished run, to be changed."""
    return Path(shutil.copytree(place.out, tmp_path / "out"))


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], int]:
    """Return a function that runs the command line and gives its exit code."""

    def invoke(arguments: list[str]) -> int:
        monkeypatch.setattr(sys, "argv", ["rpm-methods", *arguments])
        monkeypatch.setenv("COLUMNS", "120")
        with pytest.raises(SystemExit) as caught:
            main()
        return int(caught.value.code or 0)

    return invoke


# What is made once


def test_the_command_ends_with_0_and_shows_the_table_and_its_places(
    place: Workplace, out: Path, call: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(place.arguments(place.echo, out)) == 0
    shown = capsys.readouterr().out
    assert "reused   likelihoods" in shown
    assert (out / "tables" / "table20.md").read_text() in shown
    assert f"{out / 'scores' / 'bounds.json'}  bounds on R-EMID" in shown
    expected, found = outcome(place.out), outcome(out)
    assert {name: found[name] for name in expected} == expected
    assert (out / "report.pdf").read_bytes().startswith(b"%PDF")
    assert f"To read responses in: {out / 'report.html'}" in shown


def test_running_again_reuses_everything_and_changes_no_byte(place: Workplace, out: Path) -> None:
    before = times(out)
    assert all(line.startswith("reused") for line in place.score(place.echo, out))
    assert outcome(out) == outcome(place.out)
    assert times(out) == before


def test_another_method_in_the_file_costs_its_own_columns_alone(place: Workplace, out: Path, tmp_path: Path) -> None:
    before, reply = times(out), {sample_id: "Yes." for sample_id in echo(place.benchmark)}
    both = write_responses(tmp_path / "both.jsonl", {"echo": echo(place.benchmark), "yes": reply})
    told = place.score(both, out)
    assert {line for line in told if line.startswith("reused")} == {
        *("reused estimator", "reused embeddings/samples", "reused embeddings/echo", "reused divergences"),
    }
    after = times(out)
    assert len(before) == 3 * 2
    assert len(after) == 3 * 3
    assert {name: after[name] for name in before} == before
    assert [r for r in read_scores(out, "remi") if r["method"] == "echo"] == read_scores(place.out, "remi")


def test_answers_like_the_golden_ones_cost_nothing_and_get_zero(place: Workplace, out: Path, tmp_path: Path) -> None:
    before = times(out)
    place.score(write_responses(tmp_path / "golden.jsonl", {"oracle": golden(place.benchmark)}), out)
    assert times(out) == before
    assert {(row["remi"], row["ci_low"]) for row in read_scores(out, "remi")} == {(0.0, 0.0)}


def test_a_table_of_tokens_goes_when_it_is_no_longer_asked_for(place: Workplace, out: Path) -> None:
    place.score(place.echo, out, token_log_probs=True)
    assert (out / "scores" / "tokens.jsonl").is_file()
    place.score(place.echo, out)
    assert not (out / "scores" / "tokens.jsonl").exists()


def test_scores_are_those_of_a_comparison_with_the_same_responses(place: Workplace, tmp_path: Path) -> None:
    recipe, compared, out = tmp_path / "sft.yaml", tmp_path / "compared", tmp_path / "out"
    names = {"model": place.model, "estimator": place.estimator, "embedding": place.embedding}
    recipe.write_text(RECIPE.format(benchmark=place.benchmark.name, **names))
    run_comparison(
        prepare_comparison([str(recipe)], []), compared, progress=SilentProgress(), observer=StageLines(print)
    )
    place.score(compared / "responses" / "sft.jsonl", out)
    assert times(out).keys() == times(compared).keys()
    for name in ("remi", "remid", "differences", "bounds", "divergences"):
        rows = [{**row, "base_model": None} if "base_model" in row else row for row in read_scores(compared, name)]
        for found, row in zip(read_scores(out, name), rows, strict=True):
            numbers = [key for key, value in row.items() if isinstance(value, float)]
            assert [found.pop(key) for key in numbers] == pytest.approx([row.pop(key) for key in numbers], rel=1e-4)
            assert found == row
        assert rows or name == "differences"


def test_an_embedding_under_another_name_is_named_so_in_every_file(place: Workplace, out: Path, tmp_path: Path) -> None:
    renamed = shutil.copytree(place.embedding, tmp_path / "renamed")
    told = replace(place, embedding=renamed).score(place.echo, out)
    assert "reused embeddings/samples" in told
    for name in ("divergences", "bounds"):
        assert {row["embedding"] for row in read_scores(out, name)} == {str(renamed)}


# Interruption


def test_a_run_stopped_in_its_third_row_keeps_the_two_and_ends_in_the_same_bytes(
    place: Workplace,
    tmp_path: Path,
    call: Callable[[list[str]], int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    scored: list[int] = []

    def stopping(*args: Any) -> Any:  # noqa: ANN401
        if len(scored) == 2:
            raise KeyboardInterrupt
        scored.append(args[2])
        return score_row(*args)

    out = tmp_path / "out"
    monkeypatch.setattr(subset_pairs, "score_row", stopping)
    assert call(place.arguments(place.echo, out)) == 130
    assert "the same command goes on from here" in capsys.readouterr().out
    rows = {path: path.read_bytes() for path in out.glob("stages/blocks/*/rows.jsonl")}
    assert [content.count(b"\n") for content in rows.values()] == [2, 2]  # golden and echo of the first subset

    def counting(*args: Any) -> Any:  # noqa: ANN401
        scored.extend([args[2]] if args[1] else [])  # a row that all columns have is passed over
        return score_row(*args)

    monkeypatch.setattr(subset_pairs, "score_row", counting)
    told = place.score(place.echo, out)
    assert "reused estimator" in told
    assert "resumed likelihoods" in told
    assert scored.count(0) == scored.count(1) == 3  # once in each subset: none twice
    assert len(scored) == 8 + 6 + 4
    assert outcome(out) == outcome(place.out)
    blocks = {path.parent.name: path.read_bytes() for path in out.glob("stages/blocks/*/block.npz")}
    assert blocks == {path.parent.name: path.read_bytes() for path in place.out.glob("stages/blocks/*/block.npz")}


# Mistakes and failures


def test_all_mistakes_come_at_once_with_exit_code_2_and_nothing_is_made(
    place: Workplace, tmp_path: Path, call: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    faulty = tmp_path / "faulty.jsonl"
    faulty.write_text('{"sample_id": "IDTest-1x", "response": "a"}\n{\n')
    other = shutil.copytree(place.estimator, tmp_path / "estimator")
    description = json.loads((other / DESCRIPTION).read_text())
    (other / DESCRIPTION).write_text(json.dumps({**description, "format_version": 2}))
    arguments = place.arguments(faulty, tmp_path / "out", "--set", "scoring.embedding=nothing")
    arguments[arguments.index("--estimator") + 1] = str(other)
    assert call(arguments) == 2
    shown = capsys.readouterr().err
    for part in (
        "scoring.embedding: no model 'nothing'",
        f"{faulty}:1: sample_id: 'IDTest-1x' is not a test sample of this benchmark; did you mean 'IDTest-",
        f"{faulty}:2: is not valid JSON",
        "has format version 2, and this program reads version 1; make the estimator again with this program",
        "4 mistakes to correct.",
    ):
        assert part in shown
    assert "Traceback" not in shown
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--set", "scoring.pairs=some"], "scoring.pairs: input should be 'auto' or 'all' (it is 'some')"),
        (["--set", "sead=1"], "sead: unknown key; did you mean 'seed'?"),
        (
            ["--arithmetic", "released", "--set", "scoring.token_log_probs=true"],
            "token_log_probs needs arithmetic exact: the released one scores other tokens",
        ),
        (["--benchmark", "nothing"], "nothing: no such benchmark"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_with_exit_code_2(
    place: Workplace,
    tmp_path: Path,
    call: Callable[[list[str]], int],
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    told: str,
) -> None:
    assert call(place.arguments(place.echo, tmp_path / "out", *more)) == 2
    shown = capsys.readouterr().err
    assert told in shown
    assert shown.endswith("\n1 mistake to correct.\n")
    assert "Traceback" not in shown


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [("--pairs", "some", "'auto', 'all'"), ("--arithmetic", "own", "'exact', 'released'")],
)
def test_an_options_unknown_value_is_refused_with_the_known_ones(
    place: Workplace,
    tmp_path: Path,
    call: Callable[[list[str]], int],
    capsys: pytest.CaptureFixture[str],
    option: str,
    value: str,
    allowed: str,
) -> None:
    assert call(place.arguments(place.echo, tmp_path / "out", option, value)) == 2
    assert f"'{value}' is not one of {allowed}" in capsys.readouterr().err


def test_a_folder_that_is_no_estimator_is_a_mistake(place: Workplace, tmp_path: Path) -> None:
    with pytest.raises(UserMistakes, match=r"is no estimator: there is no estimator\.json; make one with"):
        prepare_scoring(place.echo, place.benchmark.name, tmp_path, settings(place.embedding))


def test_a_weight_that_is_no_number_stops_the_run_and_names_the_sample(
    place: Workplace, tmp_path: Path, call: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.numpy import load_file, save_file

    model = shutil.copytree(place.model, tmp_path / "model")
    weights = load_file(model / "model.safetensors")
    weights["model.norm.weight"][0] = np.nan
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    write_base_estimator(str(model), tmp_path / "damaged")
    damaged = replace(place, estimator=tmp_path / "damaged")
    assert call(damaged.arguments(place.echo, tmp_path / "out")) == 1
    shown = capsys.readouterr().err
    first = place.benchmark.test["id"][0].sample_id
    assert shown.startswith("The run failed: the estimator gave the (golden) response of sample ")
    assert f"behind the input of sample {first} a log-probability that is NaN or infinite" in shown
    assert not (tmp_path / "out" / "scores").exists()


def test_other_weights_than_the_estimators_stop_the_run(place: Workplace, tmp_path: Path) -> None:
    model = Path(shutil.copytree(place.model, tmp_path / "model"))
    write_base_estimator(str(model), tmp_path / "estimator")
    with (model / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x00")
    with pytest.raises(RunFailure, match="made with other weights"):
        replace(place, estimator=tmp_path / "estimator").score(place.echo, tmp_path / "out")


# What is scored


def test_a_response_too_long_for_the_context_is_unscored_and_counted_and_the_others_stay(
    place: Workplace, tmp_path: Path
) -> None:
    answers = echo(place.benchmark)
    long = place.benchmark.test["id"][3].sample_id
    answers[long] = "word and word " * 3000
    answers[place.benchmark.test["korean"][0].sample_id] = None
    place.score(write_responses(tmp_path / "long.jsonl", {"echo": answers}), tmp_path / "out")
    sums_N_N = block(tmp_path / "out", "echo", "id").sums_N_N
    others = np.arange(8) != 3
    assert np.isnan(sums_N_N[3]).all()
    assert np.isnan(sums_N_N[:, 3]).all()
    kept = np.ix_(others, others)
    assert (sums_N_N[kept] == block(place.out, "echo", "id").sums_N_N[kept]).all()
    for row in read_scores(tmp_path / "out", "remi"):
        counted = {"id": (7, 1, 42), "korean": (5, 1, 20), "word_level": (4, 0, 12)}[row["subset"]]
        assert (row["n_samples"], row["n_unscored"], row["n_pairs"]) == counted
        assert row["remi"] is not None
    assert "Unscored samples of echo: 2." in (tmp_path / "out" / "tables" / "table20.md").read_text()


def test_a_large_subset_takes_the_same_drawn_negatives_for_all_and_all_pairs_on_demand(
    place: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scoring.negatives.ALL_PAIRS_UP_TO", 5)
    monkeypatch.setattr("scoring.negatives.SAMPLED_A_ROW", 2)
    both = {"echo": echo(place.benchmark), "golden": golden(place.benchmark)}
    place.score(write_responses(tmp_path / "both.jsonl", both), tmp_path / "drawn")
    labels = {row["subset"]: (row["pairs"], row["n_pairs"]) for row in read_scores(tmp_path / "drawn", "remi")}
    assert labels == {"id": ("sampled_2", 16), "korean": ("sampled_2", 12), "word_level": ("off_diagonal", 12)}
    for key in ("id", "korean"):
        blocks = [block(tmp_path / "drawn", column, key) for column in ("(golden)", "echo")]
        known_N_N, of_echo_N_N = (np.isfinite(found.sums_N_N) for found in blocks)
        assert (known_N_N.sum(axis=1) == 3).all()
        assert known_N_N.diagonal().all()
        assert (known_N_N == of_echo_N_N).all()
        whole_N_N = block(place.out, "echo", key).sums_N_N
        assert blocks[1].sums_N_N[known_N_N] == pytest.approx(whole_N_N[known_N_N], abs=1e-3)

    for row in read_scores(tmp_path / "drawn", "differences"):
        if row["subset"] != "average":
            beside = only(
                read_scores(tmp_path / "drawn", "remi"), method="echo", subset=row["subset"], unit=row["unit"]
            )
            assert row["difference"] == pytest.approx(beside["remi"])

    place.score(place.echo, tmp_path / "all", pairs="all")
    rows = read_scores(tmp_path / "all", "remi")
    assert {row["pairs"] for row in rows} == {"off_diagonal"}
    assert only(rows, subset="id", unit="nats_per_token")["n_pairs"] == 56
    assert rows == read_scores(place.out, "remi")


def test_the_released_arithmetic_is_labelled_everywhere_and_gives_other_numbers(
    place: Workplace, tmp_path: Path, call: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    both = write_responses(tmp_path / "both.jsonl", {"echo": echo(place.benchmark), "golden": golden(place.benchmark)})
    assert call(place.arguments(both, tmp_path / "out", "--arithmetic", "released")) == 0
    assert "ARITHMETIC OF THE RELEASED CODE, its faults included" in capsys.readouterr().out
    for name in LABELLED:
        rows = read_scores(tmp_path / "out", name)
        assert rows
        assert {row["arithmetic"] for row in rows} == {"released"}
        exact = read_scores(place.out, name)
        assert exact or name == "differences"
        assert {row["arithmetic"] for row in exact} <= {"exact"}
    for name in ("table20.md", "table20.tex"):
        loud = "ARITHMETIC OF THE RELEASED CODE"
        assert loud in (tmp_path / "out" / "tables" / name).read_text()
        assert loud not in (place.out / "tables" / name).read_text()
    chosen = {"method": "echo", "subset": "id", "unit": "nats_per_token"}
    found, exact_row = (only(read_scores(folder, "remi"), **chosen) for folder in (tmp_path / "out", place.out))
    assert found["remi"] != exact_row["remi"]
    assert {row["remi"] for row in read_scores(tmp_path / "out", "remi") if row["method"] == "golden"} == {0.0}
