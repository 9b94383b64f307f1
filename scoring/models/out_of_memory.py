"""Telling errors for want of memory from others: torch and vLLM raise several kinds, which their words give away."""

from collections.abc import Iterator
from contextlib import contextmanager

from benchmark.errors import RunFailure

TOO_MUCH = (
    "out of memory",
    "can't allocate memory",  # torch's allocator on a CPU
    "not enough memory",  # the same on other systems
    "cublas_status_alloc_failed",
    "cannot allocate memory",  # the system's
    "on startup is less than desired",  # vLLM: its share of memory is not free
    "is less than requested memory",  # vLLM, likewise for its cache
)
TOO_LITTLE = (
    "no available memory for the cache blocks",
    "larger than the available kv cache memory",
)
"""vLLM: weights leave too little of its share for the cache of one prompt."""


def needs_less_memory(error: BaseException) -> bool:
    """Tell whether there was not as much memory as was asked for."""
    named = type(error).__name__ == "OutOfMemoryError"  # torch's, told by its name so that torch is not imported here
    return named or isinstance(error, MemoryError) or _says(error, TOO_MUCH)


def needs_larger_share(error: BaseException) -> bool:
    """Tell whether vLLM had memory, but its share of it was too small for the model."""
    return _says(error, TOO_LITTLE)


@contextmanager
def out_of_memory_names(setting: str, *, doing: str = "answering") -> Iterator[None]:
    """Turn errors for want of memory into a RunFailure that names the setting to lower and what was being done."""
    try:
        yield
    except RunFailure:
        raise  # it may be about memory too, and knows better which setting
    except Exception as error:
        if not needs_less_memory(error):
            raise
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise RunFailure(
            f"out of memory while {doing} ({said}); lower {setting}; what is finished is kept, and the same command "
            "goes on from it"
        ) from error


def _says(error: BaseException, words: tuple[str, ...]) -> bool:
    said = str(error).lower()
    return any(part in said for part in words)
