"""Responses made elsewhere: a JSON-lines file of `sample_id` and `response`, checked against a benchmark."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from benchmark.errors import Mistake, UserMistakes
from benchmark.sample import Benchmark, Sample
from benchmark.user_lines import read_user_lines

FINISH_REASONS = ("stop", "length", "prompt_too_long", None)
KNOWN = ("sample_id", "method", "response", "reasoning", "finish_reason")
_METHOD_NAME = re.compile(r"\w[\w .+-]{0,59}")


@dataclass(frozen=True)
class GivenResponses:
    """Responses by method, ready to be scored."""

    rows: Mapping[str, list[dict[str, Any]]]
    """Method -> a row for each chosen sample in order; the response of a sample without a line is null."""
    test: dict[str, tuple[Sample, ...]]
    """Subset key -> the samples that at least one method has a line for."""
    notes: list[str] = field(default_factory=list)
    """What is missing or odd, in sentences."""


def read_given_responses(path: Path, benchmark: Benchmark) -> GivenResponses:
    """Read a file of responses.

    Each line is an object with `sample_id` and `response` (null where there is none); `method` names what made it
    (the file's name if it is missing), `finish_reason` is "stop" (the default), "length" (cut, so that no end of turn
    is scored) or "prompt_too_long".

    Raises:
        UserMistakes: all faulty lines: no JSON, half characters, missing or mistyped fields, samples that the
            benchmark's test splits do not have, two lines for one sample and method.
    """
    samples = {sample.sample_id: sample for subset in benchmark.test.values() for sample in subset}
    mistakes: list[Mistake] = []
    found: dict[str, dict[str, dict[str, Any]]] = {}
    lines: dict[tuple[str, str], int] = {}
    for number, content in read_user_lines(path, mistakes):
        row = _row(content, path, number, samples, mistakes)
        if row is None:
            continue
        key = (row["method"], row["sample_id"])
        if key in lines:
            problem = f"a second response of {key[0]} to sample {key[1]}; the first is in line {lines[key]}"
            mistakes.append(Mistake(f"{path}:{number}", problem, "keep one"))
            continue
        lines[key] = number
        found.setdefault(row["method"], {})[row["sample_id"]] = row
    if not found and not mistakes:
        mistakes.append(
            Mistake(str(path), "holds no responses", "write a JSON object with sample_id and response a line")
        )
    if mistakes:
        raise UserMistakes(mistakes)
    return _arranged(found, benchmark)


def _row(
    content: dict[str, Any], path: Path, number: int, samples: Mapping[str, Sample], mistakes: list[Mistake]
) -> dict[str, Any] | None:
    """Return the line as a row of the responses file, or None after recording what is wrong with it."""
    where, before = f"{path}:{number}", len(mistakes)
    sample_id, method = content.get("sample_id"), content.get("method", path.stem)
    response, reason = content.get("response"), content.get("finish_reason")
    if not isinstance(sample_id, str):
        mistakes.append(Mistake(f"{where}: sample_id", "is missing or no text"))
    elif sample_id not in samples:
        problem = f"'{sample_id}' is not a test sample of this benchmark"
        mistakes.append(Mistake(f"{where}: sample_id", problem, _nearest_sample(sample_id, list(samples)[:5000])))
    if not isinstance(method, str) or not _METHOD_NAME.fullmatch(method):
        remedy = "use at most 60 letters, digits, spaces and . _ + -"
        mistakes.append(Mistake(f"{where}: method", f"{method!r} cannot name a method", remedy))
    if "response" not in content or not isinstance(response, str | None):
        mistakes.append(Mistake(f"{where}: response", "is missing or neither text nor null"))
    if not isinstance(content.get("reasoning"), str | None):
        mistakes.append(Mistake(f"{where}: reasoning", "is neither text nor null"))
    if reason not in FINISH_REASONS:
        mistakes.append(
            Mistake(f"{where}: finish_reason", f"is {reason!r}", "one of stop, length, prompt_too_long, null")
        )
    if len(mistakes) > before:
        return None
    return {**dict.fromkeys(KNOWN), **{key: content[key] for key in KNOWN if key in content}, "method": method}


def _nearest_sample(sample_id: str, known: list[str]) -> str:
    close = get_close_matches(sample_id, known, n=1)
    return f"did you mean '{close[0]}'?" if close else "see whether it is the right one"


def _arranged(found: Mapping[str, Mapping[str, dict[str, Any]]], benchmark: Benchmark) -> GivenResponses:
    answered = {sample_id for rows in found.values() for sample_id in rows}
    test = {
        key: chosen
        for key, subset in benchmark.test.items()
        if (chosen := tuple(sample for sample in subset if sample.sample_id in answered))
    }
    order = [sample.sample_id for subset in test.values() for sample in subset]
    notes = [
        f"{key}: {len(subset)} of {len(benchmark.test[key])} samples have a response"
        for key, subset in test.items()
        if len(subset) < len(benchmark.test[key])
    ]
    rows = {}
    for method, given in found.items():
        missing = [sample_id for sample_id in order if sample_id not in given]
        rows[method] = [given.get(sample_id) or _missing(sample_id, method) for sample_id in order]
        ended = [row["finish_reason"] in (None, "stop") for row in rows[method] if row["response"] == ""]
        empty, cut = ended.count(True), ended.count(False)
        notes += [f"{method}: no line for {len(missing)} samples that others answered; unscored"] if missing else []
        notes += [f"{method}: {empty} empty responses, scored as the end of turn alone"] if empty else []
        notes += [f"{method}: {cut} empty responses that were cut; unscored"] if cut else []
    return GivenResponses(rows, test, notes)


def _missing(sample_id: str, method: str) -> dict[str, Any]:
    return {**dict.fromkeys(KNOWN), "sample_id": sample_id, "method": method}
