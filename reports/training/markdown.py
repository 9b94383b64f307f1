"""Pieces of the page about training: numbers, tables, texts that models wrote."""

import re
from collections.abc import Mapping
from typing import Any

from tabulate import tabulate

LONGEST_TEXT = 600


def title_on_base(name: str, label: str) -> str:
    """Return the label of a training, with the base model where its name has one before a slash."""
    base, slash, _ = name.rpartition("/")
    return f"{label} on {base}" if slash else label


def number(value: float | None) -> str:
    """Return a number with at least four significant digits, a count with all of them, and a dash for None."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"
    return "–" if value is None else f"{value:,}"


def table(heads: list[str], body: list[list[str]]) -> str:
    """Return a table of cells that are Markdown already."""
    return str(tabulate(body, headers=heads, tablefmt="github", disable_numparse=True))


def cell(text: str) -> str:
    """Return a text that neither ends its cell nor its row."""
    return text.replace("|", r"\|").replace("\n", r"\n")


def fenced(text: str) -> str:
    """Return a text between fences that it cannot close, cut visibly where it is long."""
    more = len(text) - LONGEST_TEXT
    shown = f"{text[:LONGEST_TEXT]}… ({more} more characters)" if more > 0 else text
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", shown))])
    return f"{fence}text\n{shown}\n{fence}"


def rollout_facts(row: Mapping[str, Any]) -> str:
    """Return a sentence about one row of `rollouts.jsonl`: its sample, its reward, what is wrong with it."""
    parts = ", ".join(f"{name} {number(value)}" for name, value in (row.get("parts") or {}).items())
    facts = [f"Sample `{row['sample_id']}`: reward {number(row['reward'])}" + (f" ({parts})" if parts else "")]
    facts += [f"advantage {number(row['advantage'])}"] if "advantage" in row else []
    facts += [f"ended by {row['finish_reason']}"] if row.get("finish_reason") else []
    return ", ".join([*facts, *(["malformed"] if row.get("malformed") else [])]) + "."
