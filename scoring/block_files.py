"""Blocks of pairs on disk: rows are appended as they are made, and a whole block becomes one file."""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import RunFailure
from benchmark.run_store import append_jsonl, read_appended_jsonl, write_bytes
from scoring.pair_matrix import PairBlock, PairRow, stack_rows


@dataclass(frozen=True)
class BlockFiles:
    """Where the block of one subset and one column lies."""

    folder: Path
    """Named by a hash of everything that the block depends on."""

    @property
    def _block(self) -> Path:
        return self.folder / "block.npz"

    def _rows(self, part: int) -> Path:
        return self.folder / ("rows.jsonl" if part == 0 else f"rows-{part}.jsonl")

    def is_whole(self) -> bool:
        """Tell whether the block is finished."""
        return self._block.is_file()

    def rows(self, part: int | None = None) -> dict[int, PairRow]:
        """Return the rows made so far by number, those of one part or of all; no other process may write these."""
        paths = sorted(self.folder.glob("rows*.jsonl")) if part is None else [self._rows(part)]
        return {content["row"]: _row_from(content) for path in paths for content in read_appended_jsonl(path)}

    def append(self, number: int, row: PairRow, part: int = 0) -> None:
        """Keep a row in the file of its part."""
        sums = [None if np.isnan(value) else value for value in row.sums_N.tolist()]
        content = {"row": number, "sums": sums, "tokens": row.tokens_N.tolist(), "own": row.own_tokens.tolist()}
        append_jsonl(self._rows(part), content)

    def finish(self, size: int) -> None:
        """Turn the rows 0 .. size-1 into the block."""
        rows = self.rows()
        save_block(self._block, stack_rows([rows[number] for number in range(size)]))
        for path in self.folder.glob("rows*.jsonl"):
            path.unlink()

    def load(self) -> PairBlock:
        """Return the finished block; RunFailure when its file is damaged."""
        return load_block(self._block)


def save_block(path: Path, block: PairBlock) -> None:
    """Write a block as an .npz file, atomically."""
    arrays = {
        "sums_N_N": block.sums_N_N,
        "tokens_N_N": block.tokens_N_N,
        "own_tokens": np.concatenate(block.own_tokens),
        "own_lengths_N": np.array([len(tokens) for tokens in block.own_tokens]),
    }
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # its signature lists allow_pickle among the arrays
    write_bytes(path, buffer.getvalue())


def load_block(path: Path) -> PairBlock:
    """Read a block; RunFailure when the file is damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            ends = np.cumsum(arrays["own_lengths_N"])[:-1]
            own = tuple(np.split(arrays["own_tokens"], ends))
            return PairBlock(arrays["sums_N_N"], arrays["tokens_N_N"], own)
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
        raise RunFailure(f"{path} cannot be read ({error}); delete its folder to score it anew") from error


def _row_from(content: Mapping[str, list[float | None]]) -> PairRow:
    sums: NDArray[np.float64] = np.array(content["sums"], dtype=np.float64)  # None becomes NaN
    own: NDArray[np.float64] = np.array(content["own"], dtype=np.float64)
    return PairRow(sums, np.array(content["tokens"], dtype=np.int64), own)
