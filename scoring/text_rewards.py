"""Rewards that look at the text alone: is the reasoning in its format, how long are its features, is a heading there.

The released code has them beside the likelihood; the paper does not mention them. What the format is, is read from the
prompt that asks for it, so that a user's own templates are rewarded by their own headings.
"""

import re
from dataclasses import dataclass

from benchmark.errors import Mistake, UserMistakes
from benchmark.prompts import PromptRenderer
from benchmark.statistics import text_length

FULL_LENGTH = 600
"""Words of the features from which on the length is rewarded in full."""

_FENCE = re.compile(r"^[ \t]*```.*$", re.MULTILINE)
_SLOT_END = re.compile(r"\{[a-z_]+\}")
_SECTION = re.compile(r"^(#{2,}[ \t]*\S.*?)[ \t]*$", re.MULTILINE)
_MARKER = re.compile(r"\s*(\[[^\]\n]+\])")


@dataclass(frozen=True)
class ReasoningFormat:
    """What a text of the reasoning generator has to contain."""

    marker: str
    """The line in square brackets behind which the features of the ideal response stand, in a fenced block."""
    sections: tuple[str, ...]
    """The headings, seven in the bundled templates."""


def reasoning_format(renderer: PromptRenderer, template: str = "reasoning") -> ReasoningFormat:
    """Return the format that a template of the reasoning generator asks for (structure: Table 15).

    The marker is the bracketed line that opens the last fenced block. The sections are the headings of the second
    level or deeper that stand between the last slot and that block, without numbered ones ("Trial 1"): as in the
    released code, how many trials there are is not looked at. A template that asks for the block alone
    (`reasoning_features`) has its sections inside the block.

    Raises:
        UserMistakes: the template has no such block, or no headings.
    """
    behind_slots = _SLOT_END.split(renderer.templates[template].user)[-1]
    pieces = _FENCE.split(behind_slots)
    marker = _MARKER.match(pieces[-2]) if len(pieces) > 2 else None
    sections = _headings("\n".join(pieces[:-2:2])) or _headings(pieces[-2] if len(pieces) > 2 else "")
    if marker is None or not sections:
        problem = "asks for no fenced block that opens with a [marker], or for no headings"
        raise UserMistakes([Mistake(f"template {template}", problem, f"see the bundled {template}.yaml")])
    return ReasoningFormat(marker[1], sections)


def _headings(text: str) -> tuple[str, ...]:
    return tuple(heading for heading in _SECTION.findall(text) if not heading[-1].isdigit())


def features_part(text: str, form: ReasoningFormat) -> str | None:
    """Return what stands behind the marker in the last closed fenced block that holds it; None without such a block."""
    blocks = [block for block in _FENCE.split(text)[1:-1:2] if form.marker in block]
    return blocks[-1].rpartition(form.marker)[2].strip() if blocks else None


def format_reward(text: str, form: ReasoningFormat) -> float:
    """Return 0.5 for the marker inside a closed fenced block plus 0.5 for all section headings: 0, 0.5 or 1."""
    has_sections = all(has_heading(text, heading) for heading in form.sections)
    return 0.5 * (features_part(text, form) is not None) + 0.5 * has_sections


def length_reward(text: str, form: ReasoningFormat) -> float:
    """Return the length of the features / 600, at most 1; 0 for a text without a features part.

    The length is in words split at white space, headings and list marks included; for features in a script without
    spaces (Chinese, Japanese) in characters, as everywhere in this project. Only what stands inside the fenced block
    counts. The released code counts everything behind the marker, so going on behind the block pays there.
    """
    features = features_part(text, form)
    return 0.0 if features is None else min(text_length(features) / FULL_LENGTH, 1.0)


def heading_reward(text: str, heading: str) -> float:
    """Return 1 if a line of the text begins with the heading, else 0: the format reward of the policy model.

    Give the text as the model wrote it. A heading that the prompt itself supplies (`answer_prefix`) is in no
    completion, and put before each it is in all: either way the reward is the same for all.
    """
    return float(has_heading(text, heading))


def has_heading(text: str, heading: str) -> bool:
    """Tell whether a line begins with the heading: as many "#", any space or none behind them, the same words."""
    title = heading.lstrip("#")
    hashes = heading[: len(heading) - len(title)]
    return re.search(rf"^[ \t]*{hashes}[ \t]*{re.escape(title.strip())}(?!\w)", text, re.MULTILINE) is not None
