"""A run directory made of drawn numbers and of samples of the mini benchmark, for tests of reports; no model runs."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmark import Benchmark, Sample
from benchmark.run_store import write_json, write_jsonl
from benchmark.subsets import SUBSET_KEYS, subset

LABELS = {
    "icl": "ICL",
    "sft": "SFT",
    "da": "DA",
    "dpo": "DPO",
    "rft": "RFT",
    "grpo": "RL",
    "thinking_sft": "ThinkingSFT",
    "thinking_rl": "ThinkingRL",
    "corl": "CoRL",
}
UNITS = ("nats_per_token", "nats_per_response")
FORMS = ("theorem", "calibrated", "corrected")
THINKS = ("thinking_sft", "thinking_rl", "corl")
FAMILIES = {"icl": "icl", "dpo": "preference", "grpo": "rl", **dict.fromkeys(THINKS, "thinking")}
"""Of the methods that are not of family "sft"."""
COMMON = {"estimator": "corl m", "arithmetic": "exact", "seed": 42}


@dataclass(frozen=True)
class MadeRun:
    """What the run is made of."""

    benchmark: Benchmark
    methods: Sequence[str] = tuple(LABELS)
    base_models: Sequence[str] = ("smollm2-135m",)
    subsets: Sequence[str] = SUBSET_KEYS
    samples: int = 3
    """Test samples a subset."""
    judges: bool = False
    caution: str = "Demo size: too small to rank methods."
    responses: dict[str, str] = field(default_factory=dict)
    """Sample ID -> response of every method, in place of a made one."""
    seed: int = 0

    @property
    def test(self) -> dict[str, tuple[Sample, ...]]:
        """Subset key -> samples."""
        return {key: self.benchmark.test[key][: self.samples] for key in self.subsets}

    @property
    def shifted(self) -> list[str]:
        """Subset keys but for the in-distribution one."""
        return [key for key in self.subsets if key != "id"]

    def columns(self) -> Iterator[tuple[str, str, str]]:
        """Yield base model, method and name of the responses' file."""
        for base in self.base_models:
            for method in self.methods:
                yield base, method, method if len(self.base_models) == 1 else f"{base.replace('/', '_')}/{method}"

    def name(self, base: str, method: str) -> str:
        """Return the name of a method's responses."""
        return next(name for b, m, name in self.columns() if (b, m) == (base, method))


def make_run(folder: Path, run: MadeRun) -> Path:
    """Write the run's files and return the folder."""
    draw = np.random.default_rng(run.seed)
    write_json(folder / "manifest.json", _manifest(run))
    remi = [row for base, method, _ in run.columns() for row in _remi(run, base, method, draw)]
    of = {(r["base_model"], r["method"], r["subset"], r["unit"]): r["remi"] for r in remi}
    scores = {
        "remi": remi,
        "averages": [row for base, method, _ in run.columns() for row in _averages(run, base, method, of)],
        "remid": list(_remid(run, of)),
        "differences": list(_differences(run, of, draw)),
        "bounds": list(_bounds(run, of, draw)),
        "divergences": list(_divergences(run, draw)),
    }
    if run.judges:
        scores["judges"] = list(_judges(run, draw))
    for name, rows in scores.items():
        write_json(folder / "scores" / f"{name}.json", rows)
    write_jsonl(folder / "scores" / "contributions.jsonl", _contributions(run, of, draw))
    write_jsonl(folder / "samples.jsonl", [json.loads(json.dumps(asdict(s))) for s in _all_samples(run)])
    for base, method, name in run.columns():
        write_jsonl(folder / "responses" / f"{name}.jsonl", _responses(run, base, method))
    write_jsonl(folder / "reasoning.jsonl", _reasonings(run))
    return folder


def _all_samples(run: MadeRun) -> list[Sample]:
    return [*run.benchmark.train[:4], *(sample for samples in run.test.values() for sample in samples)]


def _manifest(run: MadeRun) -> dict[str, Any]:
    specs = {
        method: {
            "name": method,
            "label": LABELS.get(method, method),
            "family": FAMILIES.get(method, "sft"),
            "order": 10 * (place + 1),
            "starts_from": "base",
            "produces_reasoning": method in THINKS,
            "trains": method != "icl",
            "draws_answers": False,
        }
        for place, method in enumerate(run.methods)
    }
    recipes = [
        {"kind": "method", "method": method, "base_model": base, "config": {"examples": 2}, "seed": 42}
        for base, method, _ in run.columns()
    ]
    return {
        "format_version": 1,
        "recipes": recipes,
        "parents": [],
        "estimator_source": {"kind": "estimator", "estimator": "corl", "model": "smollm2-135m", "fit_on": ["train"]},
        "methods": specs,
        "caution": run.caution,
        "seed": 42,
        "responses": {name: f"responses/{name}.jsonl" for _, _, name in run.columns()},
        "hashes": {"templates": "0" * 64, "models": dict.fromkeys(run.base_models, "1" * 64)},
        "estimator": {"kind": "corl", "base_model": "smollm2-135m", "label": "corl m", "reasoning": True, "notes": []},
        "training_samples": [sample.sample_id for sample in run.benchmark.train[:4]],
        "test_samples": {key: [s.sample_id for s in samples] for key, samples in run.test.items()},
        "package_versions": {"rpm-methods": "0.1.0", "torch": "2.13.0"},
        "git_revision": "a" * 40,
        "device": "A processor",
        "compute": {"device": "cpu", "dtype": "bfloat16", "threads": 2},
        "stages": list(_stages(run)),
    }


def _stages(run: MadeRun) -> Iterator[dict[str, Any]]:
    def stage(name: str, seconds: float, tokens: int, **counts: int) -> dict[str, Any]:
        fixed = {"key": "2" * 64, "reused": False, "peak_memory": 2_000_000_000, "parts": []}
        return {"name": name, "seconds": seconds, "tokens": tokens, "counts": counts, **fixed}

    n_test = sum(len(samples) for samples in run.test.values())
    for place, (_, _, name) in enumerate(run.columns()):
        yield stage(f"policy/{name}", 10.0 * place, 1000 * place, training_samples=4)
    for place, (_, _, name) in enumerate(run.columns()):
        yield stage(f"responses/{name}", 60.0 + place, 30_000, samples=n_test, cut_by_length=place, prompt_too_long=0)
    yield stage("estimator", 300.0, 60_000, folds=1)
    causes = {"unmarked": 0, "empty": 0, "cut_by_length": 1, "prompt_too_long": 0}
    yield stage("reasoning", 100.0, 40_000, samples=n_test, **causes)
    yield stage("likelihoods", 200.0, 100_000, pairs=1080, unscored=0)
    yield stage("scores", 1.0, 0, rows=216)


def _remi(run: MadeRun, base: str, method: str, draw: np.random.Generator) -> Iterator[dict[str, Any]]:
    for key in run.subsets:
        for unit in UNITS:
            reference, remi = draw.uniform(0.1, 0.4), draw.normal(0, 0.2)
            yield {
                "base_model": base,
                "method": method,
                "subset": key,
                "shift": subset(key).shift,
                "remi": remi,
                "model_mi": reference + remi,
                "reference_mi": reference,
                "n_samples": run.samples,
                "n_clusters": run.samples,
                "n_pairs": run.samples * (run.samples - 1),
                "n_unscored": 0,
                "ci_low": remi - 0.3,
                "ci_high": remi + 0.3,
                "interval_reliable": run.samples >= 20,
                "unit": unit,
                "reasoning": True,
                "pairs": "off_diagonal",
                **COMMON,
            }


def _averages(run: MadeRun, base: str, method: str, of: dict[Any, float]) -> Iterator[dict[str, Any]]:
    for unit in UNITS:
        mean = float(np.mean([of[base, method, key, unit] for key in run.subsets]))
        yield {
            "base_model": base,
            "method": method,
            "average": mean,
            "ci_low": mean - 0.1,
            "ci_high": mean + 0.1,
            "interval_reliable": False,
            "n_subsets": len(run.subsets),
            "n_clusters": 30,
            "unit": unit,
            **COMMON,
        }


def _remid(run: MadeRun, of: dict[Any, float]) -> Iterator[dict[str, Any]]:
    for base, method, _ in run.columns():
        for key in run.shifted if "id" in run.subsets else ():
            for unit in UNITS:
                remid = of[base, method, "id", unit] - of[base, method, key, unit]
                yield {
                    "base_model": base,
                    "method": method,
                    "subset": key,
                    "shift": subset(key).shift,
                    "remid": remid,
                    "ci_low": remid - 0.4,
                    "ci_high": remid + 0.4,
                    "interval_reliable": False,
                    "n_clusters": 3,
                    "unit": unit,
                    "reasoning": True,
                    "pairs": "off_diagonal",
                    **COMMON,
                }


def _differences(run: MadeRun, of: dict[Any, float], draw: np.random.Generator) -> Iterator[dict[str, Any]]:
    for base in run.base_models:
        for unit in UNITS:
            for place, first in enumerate(run.methods):
                for second in run.methods[place + 1 :]:
                    found = [of[base, first, key, unit] - of[base, second, key, unit] for key in run.subsets]
                    for key, value in zip([*run.subsets, "average"], [*found, float(np.mean(found))], strict=True):
                        p = float(draw.uniform(0, 0.2))
                        yield {
                            "base_model": base,
                            "first": first,
                            "second": second,
                            "subset": key,
                            "difference": value,
                            "ci_low": value - 0.2,
                            "ci_high": value + 0.2,
                            "interval_reliable": False,
                            "p_value": p,
                            "adjusted_p": min(1.0, 2 * p),
                            "n_samples": run.samples,
                            "n_clusters": run.samples,
                            "unit": unit,
                            "estimator": "corl m",
                            "arithmetic": "exact",
                        }


def _bounds(run: MadeRun, of: dict[Any, float], draw: np.random.Generator) -> Iterator[dict[str, Any]]:
    for base, method, _ in run.columns():
        for key in run.shifted:
            for form in FORMS:
                unit = UNITS[0] if form == "calibrated" else UNITS[1]
                user, character, dialogue = (float(v) for v in draw.uniform(0.1, 0.6, 3))
                bound = user + character + dialogue
                remid = of[base, method, "id", unit] - of[base, method, key, unit] if "id" in run.subsets else None
                yield {
                    "base_model": base,
                    "method": method,
                    "subset": key,
                    "shift": subset(key).shift,
                    "form": form,
                    "jsd_user": user,
                    "jsd_character": character,
                    "jsd_dialogue": dialogue,
                    "jsd_null": 0.3,
                    "h_hat": None if form == "calibrated" else 600.0,
                    "delta": None if form == "calibrated" else 1.2,
                    "bound": bound,
                    "bound_ci_low": bound - 0.1,
                    "bound_ci_high": bound + 0.1,
                    "interval_reliable": False,
                    "bound_bias_removed": None if form == "calibrated" else 0.5 * bound,
                    "remid": remid,
                    "remid_ci_low": None if remid is None else remid - 0.4,
                    "remid_ci_high": None if remid is None else remid + 0.4,
                    "remid_interval_reliable": False,
                    "unit": unit,
                    "estimator": "corl m",
                    "arithmetic": "exact",
                    "embedding": "minilm",
                    "label": f"the {form} form",
                }


def _divergences(run: MadeRun, draw: np.random.Generator) -> Iterator[dict[str, Any]]:
    for key in run.shifted:
        for component in ("user", "character", "dialogue", "joint"):
            raw = float(draw.uniform(0.2, 0.6))
            yield {
                "subset": key,
                "shift": subset(key).shift,
                "component": component,
                "raw": raw,
                "raw_spread": 0.01,
                "null_mean": 0.2,
                "null_q95": 0.25,
                "bias_removed": raw - 0.2,
                "size": 12,
                "draws": 10,
                "part": raw / 2,
                "part_bias_removed": (raw - 0.2) / 2,
                "unknown_share": 0.0,
                "pieces_per_character": 0.4,
                "measures_script": False,
                "embedding": "minilm",
            }


def _judges(run: MadeRun, draw: np.random.Generator) -> Iterator[dict[str, Any]]:
    for _, _, name in run.columns():
        for key, samples in run.test.items():
            for sample in samples:
                yield {
                    "method": name,
                    "subset": key,
                    "sample_id": sample.sample_id,
                    "judge": "ensemble",
                    "metric": "win_rate",
                    "value": float(draw.integers(0, 3)) / 2,
                    "reason": None,
                }


def _contributions(run: MadeRun, of: dict[Any, float], draw: np.random.Generator) -> Iterator[dict[str, Any]]:
    for base, method, _ in run.columns():
        for key, samples in run.test.items():
            parts = draw.normal(0, 0.1, len(samples))
            values = of[base, method, key, UNITS[0]] + parts - parts.mean()
            yield {
                "base_model": base,
                "method": method,
                "subset": key,
                "unit": UNITS[0],
                "sample_ids": [sample.sample_id for sample in samples],
                "contributions": values.tolist(),
            }


def _responses(run: MadeRun, base: str, method: str) -> Iterator[dict[str, Any]]:
    for samples in run.test.values():
        for sample in samples:
            made = f"{method} on {base} answers {sample.agent_character.character_name}'s user."
            yield {
                "sample_id": sample.sample_id,
                "method": method,
                "response": run.responses.get(sample.sample_id, made),
                "reasoning": "First, what does the user want?" if method in THINKS else None,
                "finish_reason": "stop",
            }


def _reasonings(run: MadeRun) -> Iterator[dict[str, Any]]:
    for samples in run.test.values():
        for sample in samples:
            text = f"## I. Content\n- what {sample.agent_character.character_name} would say"
            yield {"sample_id": sample.sample_id, "fold": 0, "reasoning": text, "shown": text}
