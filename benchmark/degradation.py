"""Golden responses damaged step by step: a check on a metric that needs no judge, since what is worse is known.

The damaged samples of a subset are a beginning of one seeded order, so that whoever is damaged at a smaller share is
damaged, in the same way, at each larger one. At share 0 nothing is damaged, and R-EMI is 0. The rows are those of a
responses file (`rpm-methods score`), under method names such as "swapped-50".

What R-EMI must do is known of `swapped` alone. With exact likelihoods, and N samples of which a share s gets another's
response, R-EMI is -s N / (N - 1) times the golden responses' CLUB in expectation: a falling line, as long as CLUB is
positive. The others are damages that a metric ought to notice, and may not.
"""

import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from benchmark.sample import Sample
from benchmark.seeds import derive_seed
from benchmark.statistics import is_spaceless

Kind = Literal["swapped", "wrong_character", "wrong_language", "shuffled", "truncated", "filler_added", "filler_only"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
FILLERS = {
    "LATIN": "That is an interesting question, and there are many ways to look at it.",
    "CJK": "这个问题很有意思，可以从许多角度来看。",
    "KANA": "それは興味深い質問で、いろいろな見方ができます。",
    "HANGUL": "흥미로운 질문이네요. 여러 가지로 생각해 볼 수 있습니다.",
}
"""A sentence that says nothing, by script; texts in other scripts get the one in Latin script, which is English."""
KANA_SHARE = 0.1
"""Above this share of kana among its letters a text is Japanese, whatever its other letters are."""


@dataclass(frozen=True)
class Degradation:
    """The responses of one kind of damage at every share."""

    kind: Kind
    rows: tuple[dict[str, Any], ...]
    """Rows of a responses file: share by share, all samples that can be damaged, in the order given."""
    methods: Mapping[float, str]
    """Share -> method name."""
    damaged: Mapping[float, frozenset[str]]
    """Share -> IDs of the damaged samples; of n in a subset, share * n rounded half up."""
    left_out: Mapping[str, str]
    """ID of a sample that cannot be damaged so -> why. It has no row at any share."""
    unchanged: tuple[str, ...]
    """IDs of samples whose damaged response reads like the golden one, as when two samples have one response."""


def degrade(samples: Sequence[Sample], kind: Kind, *, seed: int, shares: Sequence[float] = SHARES) -> Degradation:
    """Damage the golden responses of samples, subset by subset.

    - swapped: the response of another sample of the subset; no two samples get the same one, unless the subset holds
      copies of one input.
    - wrong_character: the response of a sample of the subset with another character.
    - wrong_language: the response of any of the samples whose golden response is in another script. Languages of one
      script (English, German, Spanish) are not told apart.
    - shuffled: the words in random order; the characters, where a script puts no spaces between words.
    - truncated: the first half of the words or characters, as if the response ended there.
    - filler_added, filler_only: a sentence that says nothing, behind the response or in its place.

    Args:
        samples: of any number of subsets, each ID once.
        kind: the damage.
        seed: of the orders and draws, by name: all kinds damage a subset's samples in the same order.
        shares: how much of each subset to damage, in whole per cents from 0 to 1.

    Raises:
        ValueError: an unknown kind, a share that is no whole per cent or comes twice, or an ID that comes twice.
    """
    _check(samples, kind, shares)
    subsets: dict[str, list[Sample]] = {}
    for sample in samples:
        subsets.setdefault(sample.subset, []).append(sample)
    texts: dict[str, str] = {}
    damaged: dict[float, list[str]] = {share: [] for share in shares}
    for subset, members in subsets.items():
        found = _damage_subset(_shuffled(members, seed, "order", subset), samples, kind, seed)
        texts |= found
        for share in shares:
            damaged[share] += list(found)[: int(share * len(found) + 0.5)]
    methods = {share: f"{kind}-{round(100 * share)}" for share in shares}
    kept = [sample for sample in samples if sample.sample_id in texts]
    sets = {share: frozenset(ids) for share, ids in damaged.items()}
    return Degradation(
        kind=kind,
        rows=tuple(
            _row(s, methods[share], texts if s.sample_id in sets[share] else {}) for share in shares for s in kept
        ),
        methods=methods,
        damaged=sets,
        left_out={s.sample_id: _REASONS[kind] for s in samples if s.sample_id not in texts},
        unchanged=tuple(s.sample_id for s in kept if texts[s.sample_id] == s.golden_response),
    )


def script_of(text: str) -> str:
    """Return the script of most letters as Unicode names it ("LATIN", "CJK", "HANGUL"), or "KANA" for Japanese.

    A text without letters has the script "".
    """
    scripts = Counter(unicodedata.name(char, "").partition(" ")[0] for char in text if char.isalpha())
    kana = scripts["HIRAGANA"] + scripts["KATAKANA"]
    if kana > KANA_SHARE * scripts.total():
        return "KANA"
    return scripts.most_common(1)[0][0] if scripts else ""


def _check(samples: Sequence[Sample], kind: str, shares: Sequence[float]) -> None:
    if kind not in KINDS:
        raise ValueError(f"kind is '{kind}'; use one of {', '.join(KINDS)}")
    if any(not 0 <= share <= 1 or abs(100 * share - round(100 * share)) > 1e-9 for share in shares):
        raise ValueError(f"shares are {tuple(shares)}; use whole per cents from 0 to 1")
    if len(set(shares)) < len(shares):
        raise ValueError(f"shares are {tuple(shares)}; name each once")
    twice = [sample_id for sample_id, count in Counter(s.sample_id for s in samples).items() if count > 1]
    if twice:
        raise ValueError(f"sample {twice[0]} is given twice")


def _shuffled(samples: Sequence[Sample], seed: int, *names: str) -> list[Sample]:
    rng = np.random.default_rng(derive_seed(seed, "degradation", *names))
    return [samples[index] for index in rng.permutation(len(samples))]


def _damage_subset(order: Sequence[Sample], samples: Sequence[Sample], kind: Kind, seed: int) -> dict[str, str]:
    """Return ID -> damaged response of those that can be damaged, in their order."""
    if kind in _ALTERATIONS:
        found = {sample.sample_id: _ALTERATIONS[kind](sample, seed) for sample in order}
    elif kind == "wrong_language":
        found = _responses_in_another_script(order, _shuffled(samples, seed, "pool", order[0].subset))
    else:
        admits = _DONORS[kind]
        found = {sample.sample_id: _next_response(order, place, admits) for place, sample in enumerate(order)}
    return {sample_id: text for sample_id, text in found.items() if text is not None}


def _row(sample: Sample, method: str, texts: Mapping[str, str]) -> dict[str, Any]:
    return {
        "sample_id": sample.sample_id,
        "method": method,
        "response": texts.get(sample.sample_id, sample.golden_response),
        "reasoning": None,
        "finish_reason": "stop",
    }


# Another sample's response


def _next_response(order: Sequence[Sample], place: int, admits: Callable[[Sample, Sample], bool]) -> str | None:
    """Return the response of the next sample, round the order, that may give it."""
    sample, others = order[place], [*order[place + 1 :], *order[:place]]
    return next((other.golden_response for other in others if admits(sample, other)), None)


def _has_another_input(sample: Sample, other: Sample) -> bool:
    return _input(sample) != _input(other)


def _has_another_character(sample: Sample, other: Sample) -> bool:
    return sample.agent_character != other.agent_character


def _input(sample: Sample) -> tuple[object, ...]:
    return sample.user_persona, sample.agent_character, sample.turns, sample.last_query


def _responses_in_another_script(order: Sequence[Sample], pool: Sequence[Sample]) -> dict[str, str | None]:
    """Return a response of the pool for each sample, going round those that fit so that few get the same one."""
    responses = [(script_of(sample.golden_response), sample.golden_response) for sample in pool]
    fitting = {own: [text for script, text in responses if script not in ("", own)] for own, _ in responses}
    fitting[""] = []
    found: dict[str, str | None] = {}
    for place, sample in enumerate(order):
        others = fitting[script_of(sample.golden_response)]
        found[sample.sample_id] = others[place % len(others)] if others else None
    return found


# The sample's own response, altered


def _shuffle(sample: Sample, seed: int) -> str | None:
    """Return the words in another order, or None where all orders are the same."""
    words, separator = _words(sample.golden_response)
    if len(set(words)) < 2:
        return None
    rng = np.random.default_rng(derive_seed(seed, "degradation", "words", sample.sample_id))
    drawn = [words[index] for index in rng.permutation(len(words))]
    return separator.join(drawn if drawn != words else [*words[1:], words[0]])


def _truncate(sample: Sample, seed: int) -> str | None:
    """Return the first half, rounded down, or None where that is nothing."""
    words, separator = _words(sample.golden_response)
    return separator.join(words[: len(words) // 2]) or None


def _words(text: str) -> tuple[list[str], str]:
    """Return a text's words and what stands between them; its characters where a script has no spaces."""
    return (list(text), "") if is_spaceless(text) else (text.split(), " ")


def _filler(sample: Sample) -> str:
    return FILLERS.get(script_of(sample.golden_response), FILLERS["LATIN"])


def _add_filler(sample: Sample, seed: int) -> str:
    separator = "" if is_spaceless(sample.golden_response) else " "
    return f"{sample.golden_response}{separator}{_filler(sample)}"


def _only_filler(sample: Sample, seed: int) -> str:
    return _filler(sample)


_DONORS: dict[Kind, Callable[[Sample, Sample], bool]] = {
    "swapped": _has_another_input,
    "wrong_character": _has_another_character,
}
_ALTERATIONS: dict[Kind, Callable[[Sample, int], str | None]] = {
    "shuffled": _shuffle,
    "truncated": _truncate,
    "filler_added": _add_filler,
    "filler_only": _only_filler,
}
_REASONS: dict[Kind, str] = {
    "swapped": "no other sample of its subset has another input",
    "wrong_character": "no sample of its subset has another character",
    "wrong_language": "its golden response has no letters, or no sample's is in another script",
    "shuffled": "its golden response has no two different words",
    "truncated": "its golden response has a single word",
}
