"""Sentence embeddings of texts of any length: long ones in windows, so that nothing is cut."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import RunFailure
from scoring.models.resolver import ModelLocation, locate_model


class SentenceEmbedder:
    """A sentence-transformers model by packaged name, folder or hub id."""

    def __init__(self, name: str, *, device: str = "cpu") -> None:
        """Find the model; its weights are loaded at first use.

        Raises:
            UserMistakes: there is no such model.
        """
        self.name = name
        self.device = device
        self.location: ModelLocation = locate_model(name)

    @cached_property
    def _model(self) -> Any:  # noqa: ANN401 - a sentence-transformers model
        from sentence_transformers import SentenceTransformer

        folder = self.location.folder
        try:
            return SentenceTransformer(str(folder), device=self.device)
        except Exception as error:  # the library raises many kinds for damaged files
            raise RunFailure(f"the embedding model {self.name} in {folder} cannot be read: {error}") from error

    def embed(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return an L2-normalised embedding of each text, shape (texts, dimensions).

        A text longer than the model's window is split into windows; its embedding is the mean of theirs, weighted
        by their lengths in tokens.
        """
        pieces = [self._windows(text) for text in texts]
        flat = [window for windows in pieces for window, _ in windows]
        vectors = np.asarray(self._model.encode(flat, show_progress_bar=False), dtype=np.float64)
        weights = np.array([weight for windows in pieces for _, weight in windows], dtype=np.float64)
        owners = np.repeat(np.arange(len(texts)), [len(windows) for windows in pieces])
        means_N_D = np.zeros((len(texts), vectors.shape[1]))
        np.add.at(means_N_D, owners, vectors * weights[:, None])
        norms_N_1 = np.linalg.norm(means_N_D, axis=1, keepdims=True)
        return np.asarray(means_N_D / np.where(norms_N_1 == 0.0, 1.0, norms_N_1))

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text, uncut and without special tokens."""
        encode = self._model.tokenizer
        return [list(encode(t, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]) for t in texts]

    @property
    def unknown_id(self) -> int | None:
        """The id of the unknown token; None for a tokenizer that can spell everything."""
        found = self._model.tokenizer.unk_token_id
        return None if found is None else int(found)

    def _windows(self, text: str) -> list[tuple[str, int]]:
        """Return (window, number of its tokens), cut between tokens."""
        size = int(self._model.max_seq_length) - 2
        encoded = self._model.tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, truncation=False, verbose=False
        )
        offsets = encoded["offset_mapping"]
        if len(offsets) <= size:
            return [(text, max(1, len(offsets)))]
        chunks = [offsets[start : start + size] for start in range(0, len(offsets), size)]
        return [(text[chunk[0][0] : chunk[-1][1]], len(chunk)) for chunk in chunks]


def nearest_rows(query_D: NDArray[np.float64], rows_N_D: NDArray[np.float64], count: int) -> list[int]:
    """Return the indices of the `count` rows of highest cosine with the query, the nearest first; ties by index.

    All vectors are expected L2-normalised.
    """
    similarity_N = rows_N_D @ query_D
    order = np.lexsort((np.arange(len(rows_N_D)), -similarity_N))
    return [int(index) for index in order[:count]]
