"""What the tests of spread runs share: a comparison with every kind of stage on the tiny model, and its outcome."""

from pathlib import Path

from recipe_helpers import write_recipes

BASE = """kind: method
base_model: {model}
estimator: estimator.yaml
benchmark: {{source: mini, train_samples: 4, test_samples: 3, subsets: [id, german]}}
generation: {{max_new_tokens: 6, batch_tokens: 2500}}
scoring: {{embedding: {embedding}, resamples: 100, token_log_probs: true}}
compute: {{device: cpu, dtype: float32, threads: 1}}
"""
TRAINING = "{training: {max_steps: 2, learning_rate: 1e-3, save_steps: 1, per_device_train_batch_size: 1}}"
ESTIMATOR = f"""kind: estimator
estimator: corl
model: MODEL
benchmark: {{source: mini, train_samples: 4}}
fit_on: [german]
folds: 2
config: {{template: reasoning_features, iterations: 0, max_reasoning_tokens: 8, cold_start: {TRAINING}}}
"""
METHODS = {"icl": "config: {examples: 1}", "sft": f"config: {TRAINING}", "dpo": f"config: {TRAINING}"}


def write_comparison(folder: Path, model: Path, embedding: Path) -> Path:
    """Write a comparison of which one method starts from another, with an estimator of two folds that reasons."""
    base, estimator = BASE.format(model=model, embedding=embedding), ESTIMATOR.replace("MODEL", str(model))
    return write_recipes(folder, base, METHODS, estimator)


def outcome(out: Path) -> dict[str, bytes]:
    """Return what a run gives to others, byte for byte: tables but for that of times, scores, responses, reasoning."""
    folders = [path for name in ("tables", "scores", "responses") for path in (out / name).iterdir()]
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in (*folders, out / "reasoning.jsonl")
        if path.stem != "table14"
    }
