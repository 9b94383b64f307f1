"""What a Ray worker does around a unit: its host is looked at first, and what it says comes back as it was."""

import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmark import RunFailure, UserMistakes
from benchmark.errors import Mistake
from benchmark.run_store import RunStore
from recipes.environment import Compute, package_versions
from recipes.ray_mailbox import Advanced, Closed, Opened, Report, ReportingProgress
from recipes.ray_worker import TOKEN, Host, Refusal, Ticket, do_unit, look_at_host
from recipes.scheduler import Unit
from recipes.stage import Stage, StageRecord, StageReport


@pytest.fixture
def ticket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ticket]:
    """Return the ticket of a run that this process holds."""
    monkeypatch.chdir(tmp_path)
    store = RunStore(tmp_path / "out")
    with store.held():
        (store.folder / TOKEN).write_text("word")
        yield Ticket(
            store.folder, "word", tmp_path, package_versions(), Compute("cpu", "float32", torch.get_num_threads())
        )


def refused(ticket: Ticket) -> str:
    answer = look_at_host(ticket)
    assert isinstance(answer, Refusal)
    return answer.text


def test_a_host_that_shares_the_run_and_has_the_packages_is_fit(ticket: Ticket) -> None:
    answer = look_at_host(ticket)
    assert isinstance(answer, Host)
    assert answer.device


def test_a_host_that_shares_no_file_system_is_refused(ticket: Ticket, tmp_path: Path) -> None:
    assert "has no folder" in refused(replace(ticket, folder=tmp_path / "elsewhere"))
    assert "has no folder" in refused(replace(ticket, cwd=tmp_path / "elsewhere"))
    assert "has another" in refused(replace(ticket, token="another word"))
    (ticket.folder / TOKEN).unlink()
    assert "all hosts must share one" in refused(ticket)


def test_a_host_that_sees_no_locks_is_refused(ticket: Ticket, tmp_path: Path) -> None:
    unheld = tmp_path / "unheld"
    unheld.mkdir()
    (unheld / TOKEN).write_text("word")
    assert "does not see file locks of other hosts" in refused(replace(ticket, folder=unheld))


def test_a_host_with_other_versions_is_refused_with_both(ticket: Ticket) -> None:
    said = refused(replace(ticket, versions={**ticket.versions, "torch": "1.0"}))
    assert f"torch {ticket.versions['torch']} (not 1.0)" in said
    assert "numpy" not in said


def unit(ticket: Ticket, work: Exception | StageReport) -> Unit:
    """Return a stage that gives the report, or raises the error."""
    folder = ticket.folder / "stage"
    folder.mkdir()

    def do(folder: Path) -> StageReport:
        if isinstance(work, Exception):
            raise work
        return work

    return Unit(Stage("a", "k" * 64, do), folder, ticket.folder / "a.lock")


def test_a_unit_is_done_in_the_folder_and_with_the_threads_of_the_driver(ticket: Ticket, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    (tmp_path / "cwd").mkdir()
    given = replace(ticket, cwd=tmp_path / "cwd", compute=Compute("cpu", "float32", before + 1))
    try:
        done = do_unit(unit(ticket, StageReport(tokens=3)), given)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)
    assert Path.cwd() == tmp_path / "cwd"
    assert isinstance(done, StageRecord)
    assert done.tokens == 3


@pytest.mark.parametrize(
    "error", [RunFailure("the disk is full"), UserMistakes([Mistake("a", "is wrong", "mend it"), Mistake("b", "too")])]
)
def test_what_a_user_is_to_be_told_comes_back_as_it_was(ticket: Ticket, error: Exception) -> None:
    answer = do_unit(unit(ticket, error), ticket)
    assert isinstance(answer, Refusal)
    told = pickle.loads(pickle.dumps(answer)).error()
    assert type(told) is type(error)
    assert str(told) == str(error)
    assert getattr(told, "mistakes", None) == getattr(error, "mistakes", None)


def test_a_fault_of_the_program_is_not_taken_for_one_of_the_user(ticket: Ticket) -> None:
    with pytest.raises(ZeroDivisionError):
        do_unit(unit(ticket, ZeroDivisionError()), ticket)


def test_progress_is_reported_at_once_then_seldom_and_whole_at_the_end() -> None:
    reports: list[Report] = []
    with ReportingProgress(reports.append).task("rows", 1000) as advance:
        for _ in range(1000):
            advance()
    opened, *between, closed = reports
    assert isinstance(opened, Opened)
    assert (opened.title, opened.total) == ("rows", 1000)
    assert closed == Closed(opened.number)
    assert between[0] == Advanced(opened.number, 1)
    assert sum(report.units for report in between if isinstance(report, Advanced)) == 1000
    assert len(between) < 100
