"""What a judge is to the rest of this package: something with a name that answers prompts one by one."""

from collections.abc import Callable, Collection, Generator, Sequence
from typing import Any, Protocol, overload

from benchmark.endpoint import Gate, Outcome
from benchmark.prompts import Prompt


class Judge(Protocol):
    """A model that answers prompts."""

    @property
    def name(self) -> str:
        """What it is called in all files."""

    @property
    def identity(self) -> dict[str, Any]:
        """What its answers depend on, as plain data: answers of another identity are never taken for its own."""

    @property
    def max_tokens(self) -> int:
        """Most tokens of an answer."""

    @property
    def remote(self) -> bool:
        """Whether it computes elsewhere, so that others may be asked meanwhile."""

    def ask(
        self, prompts: Sequence[Prompt], *, finished: Collection[int], seed: int, gate: Gate
    ) -> Generator[Outcome, None, None]:
        """Yield an outcome for each prompt that is not in `finished`, as it comes; others may come again.

        Before prompts are begun, `gate` is called with a place among them and the most that they may cost; what it
        raises ends the asking. RunFailure when no prompt would get an answer.
        """


class LazyPrompts(Sequence[Prompt]):
    """Prompts that are made when they are taken: all of a large benchmark's at once would fill the memory."""

    def __init__(self, size: int, make: Callable[[int], Prompt]) -> None:
        """`make` returns the prompt at a place; it may be called in several threads."""
        self._size, self._make = size, make

    def __len__(self) -> int:
        """Return the number of prompts."""
        return self._size

    @overload
    def __getitem__(self, place: int) -> Prompt: ...

    @overload
    def __getitem__(self, place: slice) -> "LazyPrompts": ...

    def __getitem__(self, place: int | slice) -> "Prompt | LazyPrompts":
        """Make the prompt at a place."""
        places = range(self._size)[place]
        if isinstance(places, range):
            return LazyPrompts(len(places), lambda k: self._make(places[k]))
        return self._make(places)
