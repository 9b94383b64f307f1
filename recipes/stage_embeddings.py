"""The stages that embed texts: the benchmark's persona, character, dialogue and golden response; a method's answers."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.progress import Progress
from benchmark.prompts import sample_slots
from benchmark.run_store import read_jsonl, write_bytes, write_json
from benchmark.sample import Sample
from recipes.stage import StageReport
from scoring.embeddings import SentenceEmbedder
from scoring.script_coverage import script_coverage

COMPONENTS = ("user", "character", "dialogue")
VECTORS = "vectors.npz"
COVERAGE = "coverage.json"
"""Subset -> component -> how well the embedding's tokenizer reads its script."""
BATCH = 16
"""Texts a unit of work."""


def embed_samples(
    embedder: SentenceEmbedder, train: Sequence[Sample], test: Sequence[Sample], progress: Progress, folder: Path
) -> StageReport:
    """Embed the inputs and golden responses of training and test samples, and see which scripts can be read."""
    samples = [*train, *test]
    texts = {name: [component_text(sample, name) for sample in samples] for name in COMPONENTS}
    vectors = _embed(embedder, {**texts, "golden": [sample.golden_response for sample in samples]}, progress)
    save_vectors(folder / VECTORS, vectors)
    coverage: dict[str, dict[str, object]] = {}
    for subset in dict.fromkeys(sample.subset for sample in test):
        chosen = [sample for sample in test if sample.subset == subset]
        coverage[subset] = {name: _coverage(embedder, [component_text(s, name) for s in chosen]) for name in COMPONENTS}
    write_json(folder / COVERAGE, coverage)
    return StageReport(counts={"samples": len(samples)})


def embed_responses(
    embedder: SentenceEmbedder, responses: Path, samples: Sequence[Sample], progress: Progress, folder: Path
) -> StageReport:
    """Embed a method's responses in the order of the samples; NaN where there is none."""
    given = {row["sample_id"]: row["response"] for row in read_jsonl(responses)}
    texts = [given[sample.sample_id] for sample in samples]
    present = [index for index, text in enumerate(texts) if text is not None]
    found = _embed(embedder, {"responses": [texts[index] for index in present]}, progress)["responses"]
    rows = np.full((len(texts), found.shape[1]), np.nan)
    rows[present] = found
    save_vectors(folder / VECTORS, {"responses": rows})
    return StageReport(counts={"responses": len(present), "missing": len(texts) - len(present)})


def load_responses(folder: Path, test: Mapping[str, Sequence[Sample]]) -> dict[str, NDArray[np.float64]]:
    """Return what `embed_responses` left in its folder: subset -> a row for each of its samples."""
    ends = np.cumsum([len(samples) for samples in test.values()])[:-1]
    return dict(zip(test, np.split(load_vectors(folder / VECTORS)["responses"], ends), strict=True))


def component_text(sample: Sample, component: str) -> str:
    """Return the text of a sample's persona ("user"), character or dialogue, as prompts show it."""
    slots = sample_slots(sample)
    return {
        "user": slots["user_persona"],
        "character": slots["agent_character"],
        "dialogue": slots["dialogue_context"],
    }[component]


def save_vectors(path: Path, vectors: dict[str, NDArray[np.float64]]) -> None:
    """Write named arrays atomically."""
    buffer = io.BytesIO()
    np.savez(buffer, **vectors)  # type: ignore[arg-type]  # its signature lists allow_pickle among the arrays
    write_bytes(path, buffer.getvalue())


def load_vectors(path: Path) -> dict[str, NDArray[np.float64]]:
    """Read what `save_vectors` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _embed(
    embedder: SentenceEmbedder, texts: dict[str, list[str]], progress: Progress
) -> dict[str, NDArray[np.float64]]:
    """Embed each distinct text once."""
    distinct = list(dict.fromkeys(text for column in texts.values() for text in column))
    with progress.task("embeddings", len(distinct)) as advance:
        pieces = []
        for start in range(0, len(distinct), BATCH):
            pieces.append(embedder.embed(distinct[start : start + BATCH]))
            advance(len(pieces[-1]))
    vectors = np.concatenate(pieces) if pieces else np.empty((0, 1))
    rows = {text: row for row, text in enumerate(distinct)}
    return {name: vectors[[rows[text] for text in column]] for name, column in texts.items()}


def _coverage(embedder: SentenceEmbedder, texts: list[str]) -> dict[str, object]:
    found = script_coverage(texts, embedder.token_ids(texts), embedder.unknown_id)
    return {**asdict(found), "measures_script": found.measures_script}
