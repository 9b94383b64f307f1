"""The two kinds of error a user sees: mistakes to correct (exit code 2) and runs that failed (exit code 1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches


class RpmMethodsError(Exception):
    """Root of every error that this project raises on purpose."""


@dataclass(frozen=True)
class Mistake:
    """One thing the user has to correct: where it stands, what is wrong, what to do."""

    where: str
    problem: str
    remedy: str = ""

    def __str__(self) -> str:
        """One line, as printed."""
        return f"{self.where}: {self.problem}" + (f"; {self.remedy}" if self.remedy else "")


class UserMistakes(RpmMethodsError, ValueError):
    """All mistakes found in what the user gave, together."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        """Keep the mistakes; at least one is needed."""
        if not mistakes:
            raise ValueError("UserMistakes needs at least one mistake")
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes))

    def __reduce__(self) -> tuple[type["UserMistakes"], tuple[tuple[Mistake, ...]]]:
        """Go to another process with the mistakes: by itself an error is made anew of its message."""
        return type(self), (self.mistakes,)


class RunFailure(RpmMethodsError, RuntimeError):
    """A run that cannot go on although the user made no mistake: disk full, broken checkpoint, divergence."""


def nearest(word: str, known: Sequence[str]) -> str:
    """Return "did you mean 'x'?" for the closest known word, else the list of known words."""
    close = get_close_matches(word, known, n=1)
    return f"did you mean '{close[0]}'?" if close else "known: " + ", ".join(sorted(known))
