"""The measurements of `rpm_methods.bench_gpu` for the eye."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tabulate import tabulate

SWEEP_HEAD = ("attention", "batch_tokens", "compiled", "pairs/s", "share", "GB", "warming s", "difference")
PROBLEM_LETTERS = 60


def table(found: Mapping[str, Any]) -> str:
    """Return what was measured, a paragraph a part."""
    lines = [f"{found['device']}: {found['matrix_rate'] / 1e12:.1f} TFLOP/s in {found['dtype']}"]
    parts: dict[str, Callable[[Any], list[str]]] = {
        "scoring": _scoring,
        "sweep": _sweep,
        "decoding": _decoding,
        "grpo_step": _step,
    }
    for name, lines_of in parts.items():
        if name in found:
            lines += ["", *lines_of(found[name])]
    return "\n".join(lines)


def _scoring(found: Mapping[str, Any]) -> list[str]:
    packed, padded = (found[way]["pairs_per_second"] for way in ("packed", "padded"))
    share, difference, parts = found["share_of_matrix_rate"], found["largest_difference_a_token"], found["parts"]
    inputs, responses = parts["prefix_seconds"], parts["pair_seconds"]
    return [
        f"scoring: {packed:.1f} pairs/s, a padded row a pair {padded:.1f}, ratio {found['speedup']:.1f}",
        f"  {share:.1%} of the matrix rate, {_gb(found)}, at most {difference:.3f} nats a token between the two",
        f"  inputs {inputs:.2f} s, responses behind them {responses:.2f} s",
    ]


def _sweep(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return tabulate([_setting(row) for row in rows], SWEEP_HEAD, tablefmt="simple", disable_numparse=True).splitlines()


def _setting(row: Mapping[str, Any]) -> list[str]:
    setting = [row["attention"], str(row["batch_tokens"]), row["compiled"] or "nothing"]
    if "problem" in row:
        return [*setting, row["problem"][:PROBLEM_LETTERS]]
    names = ("pairs_per_second", "share_of_matrix_rate", "peak_memory", "warming_seconds", "difference")
    rate, share, memory, warming, difference = (row[name] for name in names)
    return [*setting, f"{rate:.1f}", f"{share:.1%}", f"{memory / 1e9:.1f}", f"{warming:.1f}", f"{difference:.4f}"]


def _decoding(found: Mapping[str, Any]) -> list[str]:
    rate, read = found["tokens_per_second"], found["prompt_seconds"]
    return [f"decoding: {rate:.0f} tokens/s at {found['rows']} rows, prompts read in {read:.2f} s, {_gb(found)}"]


def _step(found: Mapping[str, Any]) -> list[str]:
    size = f"{found['prompts']} prompts x {found['rollouts']} rollouts x {found['new_tokens']} tokens"
    parts = f"rollouts {found['rollout_seconds']:.1f} s, update {found['update_seconds']:.1f} s"
    return [f"GRPO step ({size}): {found['seconds']:.1f} s: {parts}, {_gb(found)}"]


def _gb(found: Mapping[str, Any]) -> str:
    return f"{found['peak_memory'] / 1e9:.1f} GB"
