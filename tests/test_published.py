"""The published tables are whole, typed, and say what their README says."""

import csv
from importlib.resources import files

import pytest

from benchmark.published import (
    PublishedRemi,
    published_bound_terms,
    published_correlations,
    published_costs,
    published_perplexity,
    published_remi,
    published_splits,
)
from benchmark.subsets import SPLITS, SUBSET_KEYS, SUBSETS

METHODS = ("icl", "sft", "da", "dpo", "rft", "grpo", "thinking_sft", "thinking_rl", "corl")
BASES = ("Qwen3-4B", "Meta-Llama-3-8B")


def remi_of(base_model: str, method: str) -> PublishedRemi:
    return next(r for r in published_remi() if (r.base_model, r.method) == (base_model, method))


def test_table_20_has_nine_methods_on_two_base_models_and_all_subsets_in_order() -> None:
    assert [(row.base_model, row.method) for row in published_remi()] == [(b, m) for b in BASES for m in METHODS]
    assert all(tuple(row.remi) == SUBSET_KEYS for row in published_remi())


def test_table_20_columns_land_on_their_subsets() -> None:
    """Columns that share a letter (German and gaming, spoken T and theater) are told apart by their shift."""
    row = remi_of("Qwen3-4B", "corl")
    assert [row.remi[key] for key in ("id", "german", "korean", "gaming", "theater", "turn_level", "word_level")] == [
        -0.040, -0.016, -0.002, -0.035, -0.038, -0.066, 0.153,
    ]  # fmt: skip


@pytest.mark.parametrize("row", published_remi(), ids=lambda row: f"{row.base_model}-{row.method}")
def test_table_20_averages_are_the_mean_of_the_twelve_to_the_decimals_printed(row: PublishedRemi) -> None:
    assert abs(sum(row.remi.values()) / 12 - row.average) <= 0.0005 + 1e-12


@pytest.mark.parametrize(
    ("base_model", "method", "columns"),
    [(BASES[0], "grpo", 10), (BASES[1], "grpo", 8), (BASES[0], "thinking_sft", 2), (BASES[1], "thinking_sft", 4)],
)
def test_table_20_in_how_many_columns_a_method_is_above_sft(base_model: str, method: str, columns: int) -> None:
    sft, other = remi_of(base_model, "sft"), remi_of(base_model, method)
    assert sum(other.remi[key] > sft.remi[key] for key in SUBSET_KEYS) == columns


@pytest.mark.parametrize("base_model", BASES)
def test_table_20_five_methods_are_positive_at_word_level(base_model: str) -> None:
    assert sum(remi_of(base_model, method).remi["word_level"] > 0 for method in METHODS) == 5


def test_table_12_has_every_shifted_subset_and_its_shift() -> None:
    shifted = [(s.shift, s.key) for s in SUBSETS if s.shift != "none"]
    assert [(row.shift, row.subset) for row in published_bound_terms()] == shifted
    with files("benchmark.data.published").joinpath("table12_bound_terms.csv").open(encoding="utf-8") as file:
        assert [row["shift_type"] for row in csv.DictReader(file)] == [shift for shift, _ in shifted]


def test_table_12_the_component_that_shifts_diverges_most_and_dialogue_shift_shows_the_floor() -> None:
    for row in published_bound_terms():
        terms = {"user": row.jsd_user, "character": row.jsd_character, "dialogue": row.jsd_dialogue}
        assert max(terms, key=terms.__getitem__) == row.shift
        if row.shift == "dialogue":
            assert all(0.20 <= value <= 0.26 for value in terms.values())


def test_table_1_every_part_of_the_estimator_lowers_perplexity_under_every_shift() -> None:
    whole, without_corl, without_reasoning = published_perplexity()
    assert [r.variant for r in published_perplexity()] == ["corl", "without_corl", "without_reasoning"]
    assert tuple(whole.perplexity) == ("none", "user", "character", "dialogue")
    for shift, value in whole.perplexity.items():
        assert value < without_corl.perplexity[shift] < without_reasoning.perplexity[shift]


def test_table_2_has_the_five_splits_of_the_benchmark() -> None:
    assert tuple(row.split for row in published_splits()) == SPLITS
    assert [row.role for row in published_splits()] == ["train", "test", "test", "test", "test"]
    assert [row.samples for row in published_splits()] == [5274, 2637, 4860, 5934, 1340]
    user_shift = published_splits()[2]
    assert (user_shift.user_personas, user_shift.agent_characters) == (4860, 736)


def test_table_13_tells_a_limit_from_a_value() -> None:
    rows = {row.shift: row for row in published_correlations()}
    assert set(rows) == {"user", "character", "dialogue"}
    assert (rows["user"].pearson_r, rows["user"].p_value, rows["user"].p_value_is_limit) == (0.628, 0.001, True)
    assert (rows["dialogue"].p_value, rows["dialogue"].p_value_is_limit) == (0.078, False)


def test_table_14_costs_follow_from_the_prices() -> None:
    remid, judge = published_costs()
    assert (remid.evaluator, judge.evaluator) == ("r_emid", "llm_judge")
    assert remid.usd == pytest.approx(remid.minutes / 60 * 1.475, abs=0.005)
    assert judge.usd == pytest.approx(judge.samples * 1500 / 1e6 * 3)


def test_the_readme_names_every_file() -> None:
    folder = files("benchmark.data.published")
    names = [entry.name for entry in folder.iterdir() if entry.name.endswith(".csv")]
    text = folder.joinpath("README.md").read_text(encoding="utf-8")
    assert len(names) == 6
    assert all(f"`{name}`" in text for name in names)
