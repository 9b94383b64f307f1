"""Labels of points that do not cover each other: each at the first free place beside its point, or left out."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from matplotlib.axes import Axes

from reports.fonts import text_columns

SIZE = 7
"""Of the letters, in points."""
WIDTH, HEIGHT = 0.62, 1.1
"""Of a column and of a line of text, in letter sizes."""
GAP = 4
"""Between a point and its label, in points."""
CLEAR = 7
"""From a point to the labels of others, in points: more than to its own, so that it is clear whose a label is."""
Box = tuple[float, float, float, float]
"""Left, bottom, right and top, in points."""


@dataclass(frozen=True)
class Labelled:
    """A point with its label, in data coordinates."""

    x: float
    y: float
    text: str


def label_points(axes: Axes, points: Sequence[Labelled], size: tuple[float, float]) -> None:
    """Write the labels that have room.

    Args:
        axes: with their final range.
        points: in the order in which they take their places.
        size: about how wide and high the axes are, in inches.
    """
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    scale_x, scale_y = 72 * size[0] / (right - left), 72 * size[1] / (high - low)
    places = [((point.x - left) * scale_x, (point.y - low) * scale_y) for point in points]
    around = [(x - CLEAR, y - CLEAR, x + CLEAR, y + CLEAR) for x, y in places]
    taken: list[Box] = []
    for place, (point, (x, y)) in enumerate(zip(points, places, strict=True)):
        for offset_x, offset_y in _offsets(point.text):
            box = _box(point.text, x + offset_x, y + offset_y)
            if not any(_meet(box, other) for other in (*taken, *around[:place], *around[place + 1 :])):
                taken.append(box)
                where = (point.x, point.y)
                axes.annotate(point.text, where, (offset_x, offset_y), textcoords="offset points", fontsize=SIZE)
                break


def _offsets(text: str) -> list[tuple[float, float]]:
    """Return where a label can begin: right before left, above before below."""
    width, height = _extent(text)
    return list(product((GAP, -GAP - width), (GAP / 2, -GAP / 2 - height, -height / 2)))


def _box(text: str, x: float, y: float) -> Box:
    width, height = _extent(text)
    return x, y, x + width, y + height


def _extent(text: str) -> tuple[float, float]:
    return WIDTH * SIZE * text_columns(text), HEIGHT * SIZE


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
