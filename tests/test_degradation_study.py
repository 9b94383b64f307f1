"""The study of known degradations on the tiny model: the numbers of `score`, each response once, and what is said."""

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from estimator_helpers import make_adapters, write
from score_helpers import block, only, read_scores, score, settings, write_benchmark

from benchmark import Benchmark, UserMistakes
from benchmark.degradation import Kind, degrade
from benchmark.progress import SilentProgress
from benchmark.run_store import read_json, write_jsonl
from recipes import degradation_pool
from recipes.cli import main
from recipes.columns import GOLDEN
from recipes.degradation_design import NO_RESPONSE, Design, make_design
from recipes.degradation_likelihoods import load_scored
from recipes.degradation_pool import PairEncoder, PairPool
from recipes.degradation_settings import DegradationSettings
from recipes.degradation_study import FinishedStudy, prepare_study, run_study
from recipes.display import StageLines
from scoring.block_files import BlockFiles
from scoring.estimator import Estimator, read_estimator, write_base_estimator
from scoring.models.causal_lm import CausalLM
from scoring.negatives import choose_negatives
from scoring.pair_matrix import CandidateResponse, score_row
from scoring.pair_tokens import ExactTokens

SIZES = {"id": 6, "korean": 4}
KINDS: tuple[Kind, ...] = ("swapped", "wrong_language", "truncated", "filler_only")
SHARES = (0.0, 0.5, 1.0)
SEED = 42


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    return write_benchmark(tmp_path_factory.mktemp("benchmark") / "b.json", SIZES)


@pytest.fixture(scope="module")
def estimators(benchmark: Benchmark, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the folders of an estimator of kind base and of a trained one with two folds."""
    folder = tmp_path_factory.mktemp("estimators")
    write_base_estimator(str(tiny_model), folder / "plain")
    samples = [sample for key in SIZES for sample in benchmark.test[key]]
    assignments = {sample.sample_id: place % 2 for place, sample in enumerate(samples)}
    write(folder / "trained", tiny_model, make_adapters(tiny_model, folder / "adapters"), assignments=assignments)
    return {"plain": folder / "plain", "trained": folder / "trained"}


def study_settings(embedding: Path, **changes: object) -> DegradationSettings:
    shared = settings(embedding, gaussian_baseline=True)
    scoring = shared.scoring.model_dump(exclude={"arithmetic", "h_hat", "token_log_probs"})
    given = {"kinds": KINDS, "shares": SHARES, "scoring": scoring, "compute": shared.compute, "seed": SEED}
    return DegradationSettings.model_validate({**given, **changes})


def run(
    benchmark: Benchmark, estimators: list[Path], out: Path, chosen: DegradationSettings
) -> tuple[FinishedStudy, list[str]]:
    """Run a study; return what it left and what it told."""
    told: list[str] = []
    study = prepare_study(benchmark.name, estimators, chosen)
    finished = run_study(study, out, progress=SilentProgress(), observer=StageLines(told.append))
    return finished, [" ".join(line.split()) for line in told]


@pytest.fixture(scope="module")
def out(
    benchmark: Benchmark, estimators: dict[str, Path], tiny_embedding: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return a finished study of both estimators and the baseline."""
    folder = tmp_path_factory.mktemp("study") / "out"
    run(benchmark, list(estimators.values()), folder, study_settings(tiny_embedding))
    return folder


def content(out: Path) -> dict[str, Any]:
    return dict(read_json(out / "degradations.json"))


def lasting(out: Path) -> dict[str, Any]:
    """Return the content without what differs from run to run: times and memory."""
    found = content(out)
    return {**found, "stages": [(stage["name"], stage["key"], stage["counts"]) for stage in found["stages"]]}


def watch(monkeypatch: pytest.MonkeyPatch, prefixes: list[tuple[int, ...]], stop_at: int | None = None) -> None:
    """Let a list take the prefix of each row that is scored from now on; stop when it has so many."""

    def watching(scorer: Any, columns: Mapping[str, Any], *rest: Any) -> Any:  # noqa: ANN401
        if len(prefixes) == stop_at:
            raise KeyboardInterrupt
        prefixes.extend(tokens.prefix for tokens in columns.values())
        return score_row(scorer, columns, *rest)

    monkeypatch.setattr(degradation_pool, "score_row", watching)


@pytest.fixture
def rows_scored(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Return a list that takes the prefix of each row that is scored from now on."""
    prefixes: list[tuple[int, ...]] = []
    watch(monkeypatch, prefixes)
    return prefixes


# The same numbers as those of `rpm-methods score`


@pytest.fixture(scope="module", params=["plain", "trained"])
def scored(
    request: pytest.FixtureRequest,
    benchmark: Benchmark,
    estimators: dict[str, Path],
    tiny_embedding: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, Path]:
    """Return an estimator's name and a run of `score` over a file that holds every column."""
    folder = tmp_path_factory.mktemp("scored")
    samples = [sample for key in SIZES for sample in benchmark.test[key]]
    columns = [row for kind in KINDS for row in degrade(samples, kind, seed=SEED, shares=SHARES).rows]
    write_jsonl(folder / "all.jsonl", columns)
    chosen = settings(tiny_embedding, gaussian_baseline=True)
    score(folder / "all.jsonl", benchmark, estimators[request.param], folder / "out", chosen)
    return request.param, folder / "out"


def design_of(benchmark: Benchmark, embedding: Path) -> Design:
    return make_design(benchmark.train, benchmark.test, study_settings(embedding))


@pytest.mark.slow
def test_assembled_matrices_are_the_blocks_of_score(
    scored: tuple[str, Path], out: Path, benchmark: Benchmark, tiny_embedding: Path
) -> None:
    name, other = scored
    design = design_of(benchmark, tiny_embedding)
    (folder,) = out.glob(f"stages/likelihoods-{name}-*")
    for key, found in load_scored(folder, out, design).items():
        responses = design.subsets[key]
        assert len(responses.columns) == 1 + len(KINDS) * len(SHARES)
        for column in responses.columns:
            expected = block(other, column, key)
            for own_N_M, expected_N_N in (
                (found.block.sums_N_N, expected.sums_N_N),
                (found.block.means_N_N, expected.means_N_N),
            ):
                own_N_N = responses.matrix(own_N_M, column)
                wanted_N_N = np.isfinite(expected_N_N)
                assert np.isfinite(own_N_N[wanted_N_N]).all()
                assert own_N_N[wanted_N_N] == pytest.approx(expected_N_N[wanted_N_N], rel=1e-4, abs=1e-4)
            assert (found.scored[column] == expected.scored_N).all()


@pytest.mark.slow
def test_values_and_intervals_are_those_of_score_on_subsets_and_on_average(scored: tuple[str, Path], out: Path) -> None:
    name, other = scored
    points = [point for point in content(out)["points"] if point["measure"] == name]
    assert len(points) == 2 * len(KINDS) * len(SHARES) * (len(SIZES) + 1)
    for point in points:
        column, average = {"method": point["column"], "unit": point["unit"]}, point["subset"] == "average"
        rows = read_scores(other, "averages" if average else "remi")
        row = only(rows, **column, **({} if average else {"subset": point["subset"]}))
        expected = [row["average" if average else "remi"], row["ci_low"], row["ci_high"]]
        for value, wanted in zip((point["value"], point["ci_low"], point["ci_high"]), expected, strict=True):
            assert value == (None if wanted is None else pytest.approx(wanted, rel=1e-3, abs=1e-4))
        assert point["interval_reliable"] == row["interval_reliable"]


@pytest.mark.slow
@pytest.mark.parametrize("scored", ["plain"], indirect=True)
def test_emi_is_the_baseline_of_score_with_an_estimator_without_folds(scored: tuple[str, Path], out: Path) -> None:
    other = scored[1]
    points = [p for p in content(out)["points"] if p["measure"] == "baseline" and p["subset"] != "average"]
    assert len(points) == len(KINDS) * len(SHARES) * len(SIZES)
    for point in points:
        row = only(read_scores(other, "baseline_emi"), method=point["column"], subset=point["subset"])
        assert [point["value"], point["ci_low"]] == pytest.approx([row["emi"], row["ci_low"]], rel=1e-3, abs=1e-6)
        assert point["unit"] == row["unit"]


def test_which_samples_fit_into_the_context_is_decided_column_by_column_as_score_does(
    benchmark: Benchmark, estimators: dict[str, Path], tiny_embedding: Path, tiny_lm: CausalLM, tmp_path: Path
) -> None:
    samples = list(benchmark.test["id"])
    samples[2] = replace(samples[2], golden_response="word and word " * 1200)
    design = make_design((), {"id": samples}, study_settings(tiny_embedding))
    estimator = read_estimator(estimators["plain"])
    wanted_N_N = choose_negatives(samples, pairs="auto", seed=SEED).wanted_N_N
    responses = design.subsets["id"]
    pool = PairPool.of(responses, wanted_N_N, PairEncoder.of(estimator, None), BlockFiles(tmp_path))
    prompts = [estimator.prompt(sample) for sample in samples]
    for column, numbers_N in responses.columns.items():
        texts = [None if number == NO_RESPONSE else responses.texts[number] for number in numbers_N]
        expected = ExactTokens(tiny_lm, prompts, [CandidateResponse(text, ended=True) for text in texts], wanted_N_N)
        assert (pool.scored[column] == expected.kept_N).all(), column
        assert pool.wanted_N_M[:, numbers_N][expected.wanted_N_N].all()
    assert not pool.scored[GOLDEN][2]
    assert pool.scored["truncated-100"].all()
    assert samples[2].sample_id in pool.unscored()[GOLDEN]
    assert "truncated-100" not in pool.unscored()


# Each response once


@pytest.mark.slow
def test_each_input_is_encoded_once_with_all_the_distinct_responses(
    benchmark: Benchmark,
    estimators: dict[str, Path],
    tiny_embedding: Path,
    tmp_path: Path,
    rows_scored: list[tuple[int, ...]],
) -> None:
    run(benchmark, [estimators["plain"]], tmp_path / "out", study_settings(tiny_embedding))
    assert len(rows_scored) == len(set(rows_scored)) == sum(SIZES.values())
    design = design_of(benchmark, tiny_embedding)
    (stage,) = [s for s in content(tmp_path / "out")["stages"] if s["name"] == "likelihoods/plain"]
    sizes = {key: len(found.texts) for key, found in design.subsets.items()}
    assert stage["counts"]["distinct_responses"] == sum(sizes.values())
    assert stage["counts"]["pairs"] <= sum(SIZES[key] * sizes[key] for key in SIZES)
    held = sum(SIZES.values()) * (1 + len(KINDS) * len(SHARES))
    assert sum(sizes.values()) < held / 2


@pytest.mark.slow
def test_an_interrupted_study_goes_on_without_scoring_a_row_twice_and_ends_alike(
    benchmark: Benchmark,
    estimators: dict[str, Path],
    tiny_embedding: Path,
    out: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prefixes: list[tuple[int, ...]] = []
    both, chosen = list(estimators.values()), study_settings(tiny_embedding)
    watch(monkeypatch, prefixes, stop_at=8)
    with pytest.raises(KeyboardInterrupt):
        run(benchmark, both, tmp_path / "out", chosen)
    watch(monkeypatch, prefixes)
    told = run(benchmark, both, tmp_path / "out", chosen)[1]
    assert "reused estimator/plain" in told
    assert "resumed likelihoods/plain" in told
    assert len(prefixes) == len(set(prefixes)) == 2 * sum(SIZES.values())
    assert lasting(tmp_path / "out") == lasting(out)
    for name in ("degradations.md", "degradations.csv", "degradations.svg", "degradations.png"):
        assert (tmp_path / "out" / name).read_bytes() == (out / name).read_bytes(), name


@pytest.mark.slow
def test_a_finished_study_is_reused_and_an_estimator_more_costs_its_own_stages_alone(
    benchmark: Benchmark,
    estimators: dict[str, Path],
    tiny_embedding: Path,
    tmp_path: Path,
    rows_scored: list[tuple[int, ...]],
) -> None:
    chosen = study_settings(tiny_embedding)
    run(benchmark, [estimators["plain"]], tmp_path / "out", chosen)
    alone = lasting(tmp_path / "out")
    rows_scored.clear()
    told = run(benchmark, [estimators["plain"]], tmp_path / "out", chosen)[1]
    assert not [line for line in told if line.startswith(("started", "resumed"))]
    assert lasting(tmp_path / "out") == alone
    told = run(benchmark, list(estimators.values()), tmp_path / "out", chosen)[1]
    started = {line for line in told if line.startswith("started")}
    assert started == {f"started {kind}/trained" for kind in ("estimator", "reasoning", "likelihoods", "trends")}
    assert len(rows_scored) == sum(SIZES.values())
    kept = [row for row in content(tmp_path / "out")["points"] if row["measure"] != "trained"]
    assert kept == alone["points"]


# What it says


def test_two_estimators_and_the_baseline_stand_side_by_side(out: Path, estimators: dict[str, Path]) -> None:
    found, page = content(out), (out / "degradations.md").read_text(encoding="utf-8")
    assert [(m["name"], m["quantity"]) for m in found["measures"]] == [
        ("plain", "R-EMI"),
        ("trained", "R-EMI"),
        ("baseline", "EMI"),
    ]
    labels = [read_estimator(folder).label for folder in estimators.values()]
    assert [m["label"] for m in found["measures"][:2]] == labels
    assert found["measures"][2]["label"].startswith("Gaussian CLUB on ")
    for kind in KINDS:
        lines = [line for line in page.splitlines() if line.startswith(f"| {kind.replace('_', ' ')} ")]
        assert all(any(f"{m['quantity']}, {m['label'][:8]}" in line for line in lines) for m in found["measures"])
    lines = (out / "degradations.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + len(found["points"])
    assert found["package_versions"]["numpy"]
    assert found["settings"]["seed"] == SEED


def test_averages_are_the_means_of_the_subsets_and_nothing_is_damaged_at_0(out: Path) -> None:
    found = content(out)
    for average in (row for row in found["slopes"] if row["subset"] == "average"):
        same = {name: average[name] for name in ("measure", "kind", "unit")}
        of_subsets = [only(found["slopes"], **same, subset=key)["slope"] for key in SIZES]
        assert average["slope"] == pytest.approx(np.mean(of_subsets))
        assert (average["n_subsets"], average["n_samples"]) == (2, 10)
        points = [only(found["points"], **same, subset="average", share=share)["value"] for share in SHARES]
        assert points[0] == 0 or average["measure"] == "baseline"
        assert average["slope"] == pytest.approx(np.polyfit(SHARES, points, 1)[0])
        for smaller, larger, low, high in zip(SHARES, SHARES[1:], points, points[1:], strict=False):
            step = only(found["steps"], **same, subset="average", smaller=smaller, larger=larger)
            assert step["difference"] == pytest.approx(high - low)
            assert step["rises"] == (high > low)


def test_a_subset_with_too_few_samples_is_said_and_takes_no_part_in_the_average(
    estimators: dict[str, Path], tiny_embedding: Path, tmp_path: Path
) -> None:
    small = write_benchmark(tmp_path / "small.json", {"id": 4, "korean": 2}, train=2)
    finished, told = run(small, [estimators["plain"]], tmp_path / "out", study_settings(tiny_embedding))
    found = content(tmp_path / "out")
    named = {"measure": "plain", "kind": "swapped", "unit": "nats_per_token"}
    korean, average = (only(found["slopes"], **named, subset=key) for key in ("korean", "average"))
    assert (korean["slope"], korean["ci_low"], korean["n_samples"]) == (None, None, 2)
    assert average["slope"] == only(found["slopes"], **named, subset="id")["slope"]
    assert average["n_subsets"] == 1
    assert only(found["points"], **named, subset="korean", share=0.0)["value"] is None
    (note,) = [note for note in found["notes"] if "too few" in note]
    assert "too few samples of korean can be compared (2; 3 are needed)" in note
    assert "swapped, wrong language, truncated, filler only" in note
    assert note in (tmp_path / "out" / "degradations.md").read_text(encoding="utf-8")
    assert "note: EMI is left out: it needs 3 training samples, and there are 2" in told
    assert [m["name"] for m in found["measures"]] == ["plain"]
    assert "## Slopes side by side" in finished.summary


# Mistakes


def test_all_mistakes_come_at_once_and_nothing_is_made(
    benchmark: Benchmark, estimators: dict[str, Path], tiny_embedding: Path, tmp_path: Path
) -> None:
    twin = Path(shutil.copytree(estimators["plain"], tmp_path / "twin"))
    chosen = study_settings(tiny_embedding, subsets=("film",))
    with pytest.raises(UserMistakes) as caught:
        prepare_study(benchmark.name, [estimators["plain"], twin, tmp_path / "none"], chosen)
    told = [str(mistake) for mistake in caught.value.mistakes]
    assert told[0] == f"{benchmark.name}: has no test samples in the chosen subsets"
    assert told[1].startswith(f"{tmp_path / 'none'}: is no estimator")
    assert told[2] == f"{twin}: is the same estimator as {estimators['plain']}; name it once"


@pytest.mark.slow
def test_estimators_of_one_folder_name_are_told_apart(
    benchmark: Benchmark, estimators: dict[str, Path], tiny_model: Path, tiny_embedding: Path, tmp_path: Path
) -> None:
    (tmp_path / "t").mkdir()
    text = "user: '{user_persona} {agent_character} {dialogue_context} mine'\n"
    (tmp_path / "t" / "policy_without_reasoning.yaml").write_text(text, encoding="utf-8")
    around = estimators["plain"].parent.name
    twin = write_base_estimator(str(tiny_model), tmp_path / around / "plain", templates=tmp_path / "t")
    study = prepare_study(benchmark.name, [estimators["plain"], twin.folder], study_settings(tiny_embedding))
    assert list(study.estimators) == [around, f"{around}-2"]
    other: Estimator = write_base_estimator(str(tiny_model), tmp_path / "other" / "plain", templates=tmp_path / "t")
    study = prepare_study(benchmark.name, [estimators["plain"], other.folder], study_settings(tiny_embedding))
    assert list(study.estimators) == [around, "other"]
    finished, _ = run(benchmark, [estimators["plain"], other.folder], tmp_path / "out", study.design.settings)
    labels = [m["label"] for m in content(tmp_path / "out")["measures"]]
    assert labels[:2] == [f"{other.label} ({around})", f"{other.label} (other)"]
    assert finished.files[0] == tmp_path / "out" / "degradations.md"


def test_the_command_ends_with_0_and_shows_what_fell_and_where_everything_lies(
    benchmark: Benchmark,
    estimators: dict[str, Path],
    tiny_embedding: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sets = [f"kinds=[{','.join(KINDS)}]", f"shares={list(SHARES)}", "scoring.resamples=200", "compute.threads=1"]
    sets += [f"scoring.embedding={tiny_embedding}", "compute.dtype=float32", "compute.device=cpu"]
    named = [part for folder in estimators.values() for part in ("--estimator", str(folder))]
    given = [*named, "--out", str(out), *(part for value in sets for part in ("--set", value))]
    monkeypatch.setattr(sys, "argv", ["rpm-methods", "degradations", "--benchmark", benchmark.name, *given])
    with pytest.raises(SystemExit) as caught:
        main()
    assert int(caught.value.code or 0) == 0
    shown = capsys.readouterr().out
    assert "reused   likelihoods/trained" in shown
    assert "## What fell" in shown
    for ending in ("md", "json", "csv", "svg", "png"):
        assert str(out / f"degradations.{ending}") in shown
    assert json.loads((out / "degradations.json").read_text())["command"].startswith("rpm-methods degradations ")
