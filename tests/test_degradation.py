"""Damaged responses: nested shares, damages that are what they are called, and rows that can be scored."""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import make_sample

from benchmark import AgentCharacter, Benchmark, Sample
from benchmark.degradation import FILLERS, KINDS, SHARES, Degradation, Kind, degrade, script_of
from benchmark.run_store import write_jsonl
from recipes.given_responses import read_given_responses

ALL_KINDS = pytest.mark.parametrize("kind", KINDS)


def character(name: str) -> AgentCharacter:
    return AgentCharacter(name, "Science", "History", "Born.", "Lived.", "Kind.")


def numbered(count: int, *, characters: int = 4, subset: str = "id") -> list[Sample]:
    return [
        make_sample(
            f"{subset}-{i}",
            subset=subset,
            user_persona=f"persona {i}",
            agent_character=character(f"hero {i % characters}"),
            golden_response=f"answer number {i} of all",
        )
        for i in range(count)
    ]


def samples_of(mini: Benchmark, *subsets: str) -> list[Sample]:
    return [sample for key in subsets or mini.test for sample in mini.test[key]]


def responses(found: Degradation, share: float) -> dict[str, str]:
    return {row["sample_id"]: row["response"] for row in found.rows if row["method"] == found.methods[share]}


@ALL_KINDS
def test_who_is_damaged_at_a_share_is_damaged_alike_at_every_larger_one(mini: Benchmark, kind: Kind) -> None:
    samples = samples_of(mini)
    golden = {sample.sample_id: sample.golden_response for sample in samples}
    found = degrade(samples, kind, seed=3)
    assert (found.left_out, found.unchanged) == ({}, ())
    for smaller, larger in pairwise(SHARES):
        assert found.damaged[smaller] < found.damaged[larger]
        before, after = responses(found, smaller), responses(found, larger)
        assert all(before[i] == after[i] != golden[i] for i in found.damaged[smaller])
        assert {i for i in after if after[i] != golden[i]} == found.damaged[larger]
    assert responses(found, 0.0) == golden
    assert found.damaged[1.0] == set(golden)


@ALL_KINDS
def test_a_share_is_one_of_each_subset(mini: Benchmark, kind: Kind) -> None:
    found = degrade(samples_of(mini), kind, seed=3)
    for share, ids in found.damaged.items():
        for key, samples in mini.test.items():
            assert sum(s.sample_id in ids for s in samples) == int(share * len(samples) + 0.5), key


def test_shares_are_rounded_half_up() -> None:
    found = degrade(numbered(6), "swapped", seed=1, shares=(0.0, 0.25, 0.29, 0.75))
    assert [len(ids) for ids in found.damaged.values()] == [0, 2, 2, 5]
    assert list(found.methods.values()) == ["swapped-0", "swapped-25", "swapped-29", "swapped-75"]


def test_swapped_responses_are_those_of_others_of_the_subset_each_once(mini: Benchmark) -> None:
    found = responses(degrade(samples_of(mini), "swapped", seed=3), 1.0)
    for samples in mini.test.values():
        own = {s.sample_id: s.golden_response for s in samples}
        assert sorted(found[i] for i in own) == sorted(own.values())
        assert all(found[i] != own[i] for i in own)


def test_a_copy_is_no_other_sample() -> None:
    one, two, *rest = numbered(5)
    copy = make_sample(
        "copy", user_persona=one.user_persona, agent_character=one.agent_character, golden_response="So."
    )
    for seed in range(20):
        found = responses(degrade([one, copy, two, *rest], "swapped", seed=seed), 1.0)
        assert found[one.sample_id] != "So."
        assert found["copy"] != one.golden_response


def test_the_wrong_character_is_another_one_of_the_subset() -> None:
    samples = [*numbered(12, characters=2), *numbered(6, characters=3, subset="german")]
    by_response = {s.golden_response: s for s in numbered(12, characters=2)}
    for seed in range(10):
        found = responses(degrade(samples, "wrong_character", seed=seed), 1.0)
        for sample in samples[:12]:
            donor = by_response[found[sample.sample_id]]
            assert donor.agent_character != sample.agent_character


def test_the_wrong_language_is_in_another_script_and_spread_over_the_pool(mini: Benchmark) -> None:
    samples = samples_of(mini, "german", "chinese", "japanese", "korean")
    by_response = {s.golden_response: s for s in samples}
    found = responses(degrade(samples, "wrong_language", seed=3), 1.0)
    for sample in samples:
        assert by_response[found[sample.sample_id]].subset != sample.subset
    given = Counter(found[s.sample_id] for s in samples if s.subset == "german")
    assert max(given.values()) == 1


@pytest.mark.parametrize("key", ["id", "chinese", "korean"])
def test_shuffled_responses_hold_the_same_words_in_another_order(mini: Benchmark, key: str) -> None:
    found = responses(degrade(samples_of(mini, key), "shuffled", seed=3), 1.0)
    for sample in mini.test[key]:
        damaged, golden = found[sample.sample_id], sample.golden_response
        whole = list if key == "chinese" else str.split
        assert sorted(whole(damaged)) == sorted(whole(golden))
        assert damaged != golden


def test_even_two_words_change_places() -> None:
    for seed in range(10):
        found = degrade([make_sample(golden_response="Rye bread.")], "shuffled", seed=seed)
        assert responses(found, 1.0) == {"IDTest-1": "bread. Rye"}


@pytest.mark.parametrize(
    ("kind", "golden", "expected"),
    [
        ("truncated", "One two three four five.", "One two"),
        ("truncated", "我从来不知道。", "我从来"),
        ("filler_added", "Rye.", f"Rye. {FILLERS['LATIN']}"),
        ("filler_added", "黑麦。", f"黑麦。{FILLERS['CJK']}"),
        ("filler_only", "ライ麦パンです。", FILLERS["KANA"]),
        ("filler_only", "호밀빵.", FILLERS["HANGUL"]),
        ("filler_only", "Ржаной.", FILLERS["LATIN"]),
    ],
)
def test_altered_responses_by_hand(kind: Kind, golden: str, expected: str) -> None:
    found = degrade([make_sample(golden_response=golden)], kind, seed=1)
    assert responses(found, 1.0) == {"IDTest-1": expected}


@pytest.mark.parametrize(
    ("kind", "samples", "reason"),
    [
        ("swapped", [make_sample()], "no other sample of its subset has another input"),
        ("wrong_character", numbered(3, characters=1), "no sample of its subset has another character"),
        ("wrong_language", numbered(3), "no sample's is in another script"),
        ("wrong_language", [make_sample(golden_response="42!")], "has no letters"),
        ("shuffled", [make_sample(golden_response="no no no")], "no two different words"),
        ("truncated", [make_sample(golden_response="No.")], "a single word"),
    ],
)
def test_what_cannot_be_damaged_is_left_out_at_every_share_and_named(
    kind: Kind, samples: list[Sample], reason: str
) -> None:
    found = degrade(samples, kind, seed=1)
    assert set(found.left_out) == {sample.sample_id for sample in samples}
    assert all(reason in text for text in found.left_out.values())
    assert found.rows == ()


def test_the_others_of_a_subset_are_damaged_by_their_own_number() -> None:
    found = degrade([*numbered(4), make_sample(golden_response="No.")], "truncated", seed=1, shares=(0.5,))
    assert list(found.left_out) == ["IDTest-1"]
    assert (len(found.damaged[0.5]), len(found.rows)) == (2, 4)


def test_an_equal_response_of_another_sample_is_named() -> None:
    samples = [make_sample(f"s{i}", user_persona=f"p{i}", golden_response="Yes, of course.") for i in range(3)]
    assert set(degrade(samples, "swapped", seed=1).unchanged) == {"s0", "s1", "s2"}


def test_the_draw_depends_on_seed_and_subset_and_not_on_other_subsets(mini: Benchmark) -> None:
    alone, together = (degrade(samples_of(mini, *keys), "swapped", seed=5) for keys in (("id",), ("film", "id")))
    ids = {sample.sample_id for sample in mini.test["id"]}
    for share in SHARES:
        assert alone.damaged[share] == together.damaged[share] & ids
        assert responses(alone, share) == {i: r for i, r in responses(together, share).items() if i in ids}
    assert degrade(samples_of(mini, "id"), "swapped", seed=6).damaged[0.5] != alone.damaged[0.5]
    assert degrade(samples_of(mini, "id"), "shuffled", seed=5).damaged == alone.damaged


def test_rows_of_all_kinds_are_a_responses_file_that_can_be_scored(tmp_path: Path, mini: Benchmark) -> None:
    path = tmp_path / "damaged.jsonl"
    write_jsonl(path, [row for kind in KINDS for row in degrade(samples_of(mini), kind, seed=2).rows])
    read = read_given_responses(path, mini)
    assert len(read.rows) == len(KINDS) * len(SHARES) == 35
    assert read.notes == []
    assert json.loads(path.read_text("utf-8").splitlines()[0])["method"] == "swapped-0"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kind": "swap"}, "use one of swapped"),
        ({"shares": (0.005,)}, "whole per cents"),
        ({"shares": (1.5,)}, "whole per cents"),
        ({"shares": (0.5, 0.5)}, "each once"),
        ({"samples": [make_sample(), make_sample()]}, "sample IDTest-1 is given twice"),
    ],
)
def test_wrong_arguments_are_errors(given: dict[str, object], message: str) -> None:
    arguments = {"samples": numbered(2), "kind": "swapped", "seed": 1, **given}
    with pytest.raises(ValueError, match=message):
        degrade(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Straße, sí!", "LATIN"),
        ("我不知道", "CJK"),
        ("東京へ行く", "KANA"),
        ("호밀빵", "HANGUL"),
        ("да, да, OK", "CYRILLIC"),
        ("42", ""),
    ],
)
def test_scripts(text: str, script: str) -> None:
    assert script_of(text) == script
