"""What tables have in common: columns of methods and subsets, and the files that rows come from."""

from collections.abc import Sequence

from benchmark.statistics import SHIFT_LABELS
from benchmark.subsets import subset
from reports.run_data import MethodKey, RunData
from reports.table import Cell, Column, interval_detail, label, number, words

AVERAGE = "average"
"""Key of the mean over the subsets, here and in the score files."""
REFERENCE = "sft"
"""The method that others are compared with, as in the paper."""


def method_columns(run: RunData, head: str = "Method") -> tuple[Column, Column]:
    """Return the columns of base model and method; the former is shown where there are several."""
    several = len(run.base_models) > 1
    return Column("base_model", "Base model" if several else None, "left"), Column("method", head, "left")


def method_cells(run: RunData, key: MethodKey) -> tuple[Cell, Cell]:
    """Return a method's cells for these columns; their values are its keys."""
    shown = label(method_label(run, key.method))
    return label(key.base_model), words(shown.text, value=key.method)


def method_label(run: RunData, method: str) -> str:
    """Return a method's name as shown, without its base model."""
    return str(run.spec(method).get("label", method))


def method_title(run: RunData, key: MethodKey) -> str:
    """Return a method's name as titles have it, with its base model."""
    name = label(method_label(run, key.method)).text
    return name if key.base_model is None else f"{name} on {label(key.base_model).text}"


def subset_column(key: str, *, suffix: str = "", head: bool = True) -> Column:
    """Return a column of a subset below its shift; one without a head is for CSV files alone."""
    return Column(f"{key}{suffix}", subset(key).heading if head else None, group=shift_label(key))


def shift_label(key: str) -> str:
    """Return a subset's shift in words; empty for the in-distribution test."""
    return SHIFT_LABELS.get(subset(key).shift, "")


def subset_words(key: str) -> Cell:
    """Return a subset's name for the beginning of a row."""
    return words("ID" if key == "id" else key.replace("_", " ").capitalize(), value=key)


def shift_words(key: str) -> Cell:
    """Return a subset's shift for the beginning of a row."""
    return words(shift_label(key) or "None", value=subset(key).shift)


def with_bounds(
    value: float | None, low: float | None, high: float | None, reliable: bool | None, digits: int = 3
) -> tuple[Cell, Cell, Cell]:
    """Return a number with its interval below, and both ends as numbers; ends without a value are left out."""
    if value is None:
        low = high = None
    shown = number(value, digits, detail=interval_detail(low, high, reliable, digits))
    return shown, number(low, digits), number(high, digits)


def with_bounds_columns(key: str, head: str, group: str = "") -> tuple[Column, Column, Column]:
    """Return the columns of such cells; the ends are in CSV files alone."""
    low, high = (Column(f"{key}_{end}", None, group=group) for end in ("low", "high"))
    return Column(key, head, group=group), low, high


def sources(run: RunData, names: Sequence[str], *others: str) -> tuple[str, ...]:
    """Return those files of scores that have rows, and the others."""
    return (*(f"scores/{name}.json" for name in names if run.scores[name]), *others)
