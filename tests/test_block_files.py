"""Blocks on disk: the same bits however often the work was interrupted, and damage that is said."""

import json
from pathlib import Path

import numpy as np
import pytest
from likelihood_helpers import same_block

from benchmark import RunFailure
from scoring.block_files import BlockFiles, save_block
from scoring.pair_matrix import PairRow, stack_rows

NAN = np.nan
ROWS = [
    PairRow(np.array([-1 / 3, -0.1, NAN]), np.array([3, 1, 0]), np.array([-1e-300, -0.1, -2 / 7])),
    PairRow(np.array([-4.0, 0.0, NAN]), np.array([3, 0, 0]), np.array([])),
    PairRow(np.full(3, NAN), np.zeros(3, dtype=np.int64), np.array([])),
]
"""Sums that decimals do not hold exactly, a pair scored over no token, and a sample that was not scored."""


def make(files: BlockFiles, numbers: range | list[int]) -> None:
    for number in numbers:
        files.append(number, ROWS[number])


@pytest.fixture
def uninterrupted(tmp_path: Path) -> BlockFiles:
    files = BlockFiles(tmp_path / "uninterrupted")
    make(files, range(3))
    files.finish(3)
    return files


def test_a_block_comes_back_with_every_bit(uninterrupted: BlockFiles) -> None:
    assert same_block(uninterrupted.load(), stack_rows(ROWS))
    assert [len(own) for own in uninterrupted.load().own_tokens] == [3, 0, 0]


def test_rows_are_kept_as_they_are_made_and_go_when_the_block_is_whole(tmp_path: Path) -> None:
    files = BlockFiles(tmp_path)
    assert files.rows() == {}
    make(files, [2, 0])
    assert sorted(files.rows()) == [0, 2]
    assert not files.is_whole()
    make(files, [1])
    files.finish(3)
    assert files.is_whole()
    assert [path.name for path in tmp_path.iterdir()] == ["block.npz"]


def test_what_was_not_scored_is_null_on_disk_and_never_zero(tmp_path: Path) -> None:
    files = BlockFiles(tmp_path)
    make(files, range(3))
    lines = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [line["sums"] for line in lines] == [[-1 / 3, -0.1, None], [-4.0, 0.0, None], [None, None, None]]
    assert np.isnan(files.rows()[2].sums_N).all()


@pytest.mark.parametrize("cut", [1, 20, 60, -1])
def test_a_kill_in_the_middle_of_a_line_costs_that_row_alone_and_no_bit_of_the_block(
    tmp_path: Path, uninterrupted: BlockFiles, cut: int
) -> None:
    files = BlockFiles(tmp_path / "killed")
    make(files, range(2))
    path = files.folder / "rows.jsonl"
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second[:cut])
    assert list(files.rows()) == [0]
    make(files, [1, 2])
    files.finish(3)
    assert (files.folder / "block.npz").read_bytes() == (uninterrupted.folder / "block.npz").read_bytes()
    assert same_block(files.load(), uninterrupted.load())


def test_rows_made_in_another_order_give_the_same_bytes(tmp_path: Path, uninterrupted: BlockFiles) -> None:
    files = BlockFiles(tmp_path / "other")
    make(files, [2, 0, 1])
    files.finish(3)
    assert (files.folder / "block.npz").read_bytes() == (uninterrupted.folder / "block.npz").read_bytes()


def test_rows_of_parts_lie_in_files_of_their_own_and_give_the_same_bytes(
    tmp_path: Path, uninterrupted: BlockFiles
) -> None:
    files = BlockFiles(tmp_path / "parts")
    for number, part in ((2, 0), (0, 3), (1, 3)):
        files.append(number, ROWS[number], part=part)
    assert sorted(path.name for path in files.folder.iterdir()) == ["rows-3.jsonl", "rows.jsonl"]
    assert [sorted(files.rows(part)) for part in (0, 1, 3)] == [[2], [], [0, 1]]
    assert sorted(files.rows()) == [0, 1, 2]
    files.finish(3)
    assert [path.name for path in files.folder.iterdir()] == ["block.npz"]
    assert (files.folder / "block.npz").read_bytes() == (uninterrupted.folder / "block.npz").read_bytes()


def test_who_reads_one_part_leaves_the_last_line_of_another_to_its_writer(tmp_path: Path) -> None:
    files = BlockFiles(tmp_path)
    make(files, [0])
    files.append(1, ROWS[1], part=1)
    half = (tmp_path / "rows-1.jsonl").read_bytes()[:30]
    (tmp_path / "rows-1.jsonl").write_bytes(half)
    assert sorted(files.rows(0)) == [0]
    assert (tmp_path / "rows-1.jsonl").read_bytes() == half
    assert files.rows(1) == {}
    assert (tmp_path / "rows-1.jsonl").read_bytes() == b""


def test_a_kill_between_the_block_and_the_end_of_its_rows_leaves_a_whole_block(tmp_path: Path) -> None:
    files = BlockFiles(tmp_path)
    make(files, range(3))
    save_block(tmp_path / "block.npz", stack_rows(ROWS))
    assert files.is_whole()
    assert same_block(files.load(), stack_rows(ROWS))


def test_a_block_cut_anywhere_is_a_failed_run_that_says_what_to_do(uninterrupted: BlockFiles) -> None:
    path = uninterrupted.folder / "block.npz"
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(RunFailure, match=r"block\.npz cannot be read .* delete its folder"):
            uninterrupted.load()


def test_a_changed_byte_is_noticed_or_changes_nothing(uninterrupted: BlockFiles) -> None:
    path = uninterrupted.folder / "block.npz"
    content = path.read_bytes()
    noticed = 0
    for place in range(0, len(content), 3):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        try:
            assert same_block(uninterrupted.load(), stack_rows(ROWS))
        except RunFailure:
            noticed += 1
    assert noticed > len(content) / 6


def test_no_block_at_all_is_a_failed_run(tmp_path: Path) -> None:
    with pytest.raises(RunFailure, match="cannot be read"):
        BlockFiles(tmp_path).load()
