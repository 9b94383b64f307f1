"""A run directory is read with what it has; what it lacks is said, and what is no run of this version is refused."""

import json
from pathlib import Path

import pytest
from made_run import MadeRun, make_run

from benchmark import Benchmark, RunFailure, UserMistakes
from reports.run_data import FORMAT_VERSION, TOKEN, MethodKey, read_run


@pytest.fixture
def folder(tmp_path: Path, mini: Benchmark) -> Path:
    return make_run(tmp_path / "run", MadeRun(mini))


def test_a_whole_run_lacks_judges_alone(folder: Path) -> None:
    run = read_run(folder)
    assert len(run.methods) == 9
    assert run.methods[0] == MethodKey("smollm2-135m", "icl")
    assert len(run.subsets) == 12
    assert run.missing == ("There are no judges' scores (scores/judges.json), so nothing is compared with judges.",)


def test_a_samples_shares_average_to_its_subsets_remi(folder: Path) -> None:
    run = read_run(folder)
    key = run.methods[3]
    shares = run.contributions(key)
    (row,) = run.rows("remi", method=key.method, subset="korean", unit=TOKEN)
    of_subset = [shares[sample_id] for sample_id in run.manifest["test_samples"]["korean"]]
    assert sum(of_subset) / len(of_subset) == pytest.approx(row["remi"])


def test_methods_on_two_bases_are_told_apart(tmp_path: Path, mini: Benchmark) -> None:
    run = read_run(make_run(tmp_path, MadeRun(mini, methods=("sft", "icl"), base_models=("b/two", "a"))))
    assert run.base_models == ("a", "b/two")
    first, *_, last = run.methods
    assert run.label(first) == "SFT (a)"
    assert run.responses_name(last) == "b_two/icl"
    assert "icl on b/two" in next(iter(run.responses(last).values()))["response"]


def test_what_is_not_there_is_said(folder: Path) -> None:
    (folder / "samples.jsonl").unlink()
    (folder / "scores" / "remid.json").unlink()
    remi = json.loads((folder / "scores" / "remi.json").read_text())
    kept = [row for row in remi if row["method"] != "corl"]
    kept[0] |= {"remi": None, "ci_low": None, "ci_high": None}
    kept[2] |= {"ci_low": None, "ci_high": None}
    (folder / "scores" / "remi.json").write_text(json.dumps(kept))
    said = " ".join(read_run(folder).missing)
    assert "scores/remid.json is not there" in said
    assert "samples.jsonl is not there" in said
    assert "corl on smollm2-135m is in the recipes and has no scores" in said
    assert "icl has no estimate on id." in said
    assert "1 estimates have no interval" in said


def test_what_is_no_run_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserMistakes, match="is no run directory"):
        read_run(tmp_path)


def test_a_run_of_a_newer_version_is_a_mistake(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    newer = {**manifest, "format_version": FORMAT_VERSION + 1}
    (folder / "manifest.json").write_text(json.dumps(newer))
    with pytest.raises(UserMistakes, match="written by a newer version"):
        read_run(folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("manifest.json", "{"),
        ("manifest.json", "[]"),
        ("manifest.json", '{"format_version": 1}'),
        ("scores/remi.json", "{}"),
        ("scores/remi.json", "[1]"),
    ],
)
def test_a_damaged_file_is_named(folder: Path, name: str, content: str) -> None:
    (folder / name).write_text(content)
    with pytest.raises(RunFailure, match=name.rpartition("/")[2]):
        read_run(folder)
