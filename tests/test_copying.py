"""The share of a golden response that a reasoning repeats, by hand-counted sequences."""

import pytest

from benchmark import Benchmark
from corl.copying import copied_share
from rpm_methods.teacher_reasoning import recorded_reasoning

GOLDEN = "Bake the rye bread slowly, my friend."  # sequences of four words: 4


@pytest.mark.parametrize(
    ("reasoning", "share"),
    [
        ("", 0.0),
        ("The user bakes; something slow and friendly fits.", 0.0),
        (GOLDEN, 1.0),
        (f"An idea: «{GOLDEN.upper()}» would do.", 1.0),
        ("say: bake the rye bread, then go", 1 / 4),
        ("bake the rye bread slowly", 2 / 4),
        ("the rye bread slowly my friend", 3 / 4),
        ("bake bread the rye slowly friend my", 0.0),
    ],
)
def test_sequences_of_four_words_are_counted(reasoning: str, share: float) -> None:
    assert copied_share(reasoning, GOLDEN) == pytest.approx(share)


def test_a_sequence_counts_no_oftener_than_it_stands_in_the_reasoning() -> None:
    assert copied_share("ho ho ho", "ho ho ho ho", words=2) == pytest.approx(2 / 3)


def test_a_response_shorter_than_a_sequence_is_compared_whole() -> None:
    assert copied_share("she would say rye bread", "Rye bread!") == 1.0
    assert copied_share("bread of rye", "Rye bread!") == 0.0
    assert copied_share("anything", "…") == 0.0


def test_scripts_without_spaces_are_compared_by_characters() -> None:
    golden = "今晩はゆっくりパンを焼きなさい"
    assert copied_share(f"考え:{golden}。", golden) == 1.0
    assert copied_share("今晩はパンを焼く", golden) == 0.0
    half = copied_share("今晩はゆっくりパンを待つ", golden)
    assert 0 < half < 1


def test_the_recorded_reasoning_of_the_mini_benchmark_copies_next_to_nothing(mini: Benchmark) -> None:
    traces = recorded_reasoning("mini", mini.train)
    shares = [copied_share(traces[sample.sample_id], sample.golden_response) for sample in mini.train]
    assert max(shares) < 0.25
    assert sum(shares) / len(shares) < 0.05
