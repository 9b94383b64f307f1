"""The methods that are installed, found by the entry-point group `rpm_methods.methods`."""

from functools import cache
from importlib.metadata import entry_points
from typing import Any

from benchmark.errors import Mistake, UserMistakes, nearest
from rpm_methods.method import Method

GROUP = "rpm_methods.methods"


@cache
def methods() -> dict[str, Method[Any]]:
    """Return every installed method by name, in the order of Table 20."""
    found: list[Method[Any]] = [entry.load()() for entry in entry_points(group=GROUP)]
    return {method.spec.name: method for method in sorted(found, key=lambda m: (m.spec.order, m.spec.name))}


def get_method(name: str) -> Method[Any]:
    """Return the method of this name; UserMistakes with the nearest name when there is none."""
    known = methods()
    if name not in known:
        raise UserMistakes([Mistake("method", f"unknown method '{name}'", nearest(name, list(known)))])
    return known[name]
