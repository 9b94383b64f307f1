"""The index of in-context examples: training samples with the embeddings of their inputs."""

import io
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.prompts import render_character, render_dialogue
from benchmark.run_store import read_json, write_bytes, write_json
from benchmark.sample import AgentCharacter, Sample, Turn
from scoring.embeddings import SentenceEmbedder, nearest_rows


def input_text(sample: Sample) -> str:
    """Return persona, character and dialogue as the one text whose embedding stands for the input."""
    dialogue = render_dialogue(sample.turns, sample.last_query)
    return "\n".join((sample.user_persona, render_character(sample.agent_character), dialogue))


class ExemplarIndex:
    """Finds the training samples whose inputs are nearest to a sample's, by cosine of embeddings."""

    def __init__(self, samples: Sequence[Sample], vectors_N_D: NDArray[np.float64], model: str, count: int) -> None:
        """Hold the samples with their L2-normalised embeddings; `count` examples are given to each prompt."""
        self.samples = tuple(samples)
        self.vectors_N_D = vectors_N_D
        self.count = count
        self.embedder = SentenceEmbedder(model)

    def nearest(self, samples: Sequence[Sample]) -> list[list[Sample]]:
        """Return for each sample its nearest training samples; a sample is never its own example.

        They stand in the order of their mean similarity to the whole index, the most central first, so that the
        prompts of different samples begin alike and their beginnings are computed once.
        """
        centrality_N = (self.vectors_N_D @ self.vectors_N_D.T).mean(axis=1)
        queries_M_D = self.embedder.embed([input_text(sample) for sample in samples])
        found = []
        for sample, query_D in zip(samples, queries_M_D, strict=True):
            ranked = nearest_rows(query_D, self.vectors_N_D, self.count + 1)
            others = [i for i in ranked if self.samples[i].sample_id != sample.sample_id][: self.count]
            ordered = sorted(others, key=lambda i: (-centrality_N[i], i))
            found.append([self.samples[i] for i in ordered])
        return found

    def save(self, folder: Path) -> None:
        """Write the index into a folder."""
        buffer = io.BytesIO()
        np.save(buffer, self.vectors_N_D)
        write_bytes(folder / "embeddings.npy", buffer.getvalue())
        rows = [asdict(sample) for sample in self.samples]
        write_json(folder / "index.json", {"model": self.embedder.name, "count": self.count, "samples": rows})


def build_index(samples: Sequence[Sample], model: str, count: int) -> ExemplarIndex:
    """Embed the inputs of the training samples."""
    vectors_N_D = SentenceEmbedder(model).embed([input_text(sample) for sample in samples])
    return ExemplarIndex(samples, vectors_N_D, model, count)


def load_index(folder: Path) -> ExemplarIndex:
    """Read an index that `save` wrote."""
    content = read_json(folder / "index.json")
    vectors_N_D = np.load(folder / "embeddings.npy", allow_pickle=False)
    return ExemplarIndex([_sample(row) for row in content["samples"]], vectors_N_D, content["model"], content["count"])


def _sample(row: dict[str, Any]) -> Sample:
    return Sample(
        **{
            **row,
            "agent_character": AgentCharacter(**row["agent_character"]),
            "turns": tuple(Turn(**turn) for turn in row["turns"]),
            "source_sample_ids": tuple(row["source_sample_ids"]),
        }
    )
