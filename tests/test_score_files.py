"""The files of scores that others read: exact keys, one meaning between files, and null where there is no estimate."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from score_helpers import (
    SIZES,
    block,
    echo,
    golden,
    only,
    read_scores,
    score,
    settings,
    write_benchmark,
    write_responses,
)

from benchmark.run_store import read_jsonl
from benchmark.sample import Benchmark
from recipes.stage_embeddings import load_vectors
from scoring.bound import corrected_upper_bound, remid_upper_bound
from scoring.calibrated_bound import calibrated_bound
from scoring.divergence import representation_jsd
from scoring.estimator import write_base_estimator
from scoring.models.causal_lm import CausalLM

COMMON = {"base_model", "method", "subset", "shift", "unit", "estimator"}
SCORED = COMMON | {"ci_low", "ci_high", "interval_reliable", "n_clusters", "seed"}
FILE_KEYS = {
    "remi": SCORED
    | {"remi", "model_mi", "reference_mi", "n_samples", "n_pairs", "n_unscored", "reasoning", "arithmetic", "pairs"},
    "remid": SCORED | {"remid", "reasoning", "arithmetic", "pairs"},
    "averages": {
        *("base_model", "method", "average", "ci_low", "ci_high", "interval_reliable", "n_subsets", "n_clusters"),
        *("unit", "estimator", "arithmetic"),
    },
    "differences": {
        *("base_model", "first", "second", "subset", "difference", "ci_low", "ci_high", "interval_reliable"),
        *("p_value", "adjusted_p", "n_samples", "n_clusters", "unit", "estimator", "arithmetic"),
    },
    "divergences": {
        *("subset", "shift", "component", "raw", "raw_spread", "null_mean", "null_q95", "bias_removed", "size"),
        *("draws", "part", "part_bias_removed", "unknown_share", "pieces_per_character", "measures_script"),
        "embedding",
    },
    "bounds": COMMON
    | {
        *("form", "jsd_user", "jsd_character", "jsd_dialogue", "jsd_null", "h_hat", "delta", "bound"),
        *("bound_ci_low", "bound_ci_high", "interval_reliable", "bound_bias_removed"),
        *("remid", "remid_ci_low", "remid_ci_high", "remid_interval_reliable", "arithmetic", "embedding", "label"),
    },
    "baseline_emi": SCORED | {"emi", "emid", "model_mi", "reference_mi", "n_samples", "n_training_pairs"},
}
ROWS = {"remi": 18, "remid": 12, "averages": 6, "differences": 24, "divergences": 8, "bounds": 18, "baseline_emi": 9}
"""Three methods, three subsets, two units; three pairs of methods on three subsets and their average."""
COMPONENTS = ("user", "character", "dialogue")
Score = Callable[..., Path]


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, tiny_embedding: Path) -> Score:
    """Return a function that scores methods' answers in a run directory of their own and returns it."""
    estimator = tmp_path_factory.mktemp("estimator") / "e"
    write_base_estimator(str(tiny_model), estimator)

    def run(benchmark: Benchmark, methods: dict[str, dict[str, str | None]], **scoring: object) -> Path:
        folder = tmp_path_factory.mktemp("score")
        responses = write_responses(folder / "answers.jsonl", methods)
        score(responses, benchmark, estimator, folder / "out", settings(tiny_embedding, **scoring))
        return folder / "out"

    return run


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    return write_benchmark(tmp_path_factory.mktemp("benchmark") / "b.json")


@pytest.fixture(scope="module")
def out(scored: Score, benchmark: Benchmark) -> Path:
    """Return a run over the golden responses and two methods that answer alike."""
    methods = {"golden": golden(benchmark), "echo": echo(benchmark), "twin": echo(benchmark)}
    return scored(benchmark, methods, gaussian_baseline=True, token_log_probs=True)


@pytest.fixture(scope="module")
def few(scored: Score, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run in which two samples of korean are answered, and word_level has no more than two."""
    small = write_benchmark(tmp_path_factory.mktemp("benchmark") / "b.json", {"id": 8, "korean": 6, "word_level": 2})
    left_out = {sample.sample_id for sample in small.test["korean"][2:]}
    answers = {sample_id: text for sample_id, text in echo(small).items() if sample_id not in left_out}
    return scored(small, {"echo": answers, "twin": answers}, gaussian_baseline=True)


@pytest.mark.parametrize("name", FILE_KEYS)
def test_every_row_has_exactly_these_keys(out: Path, few: Path, name: str) -> None:
    assert len(read_scores(out, name)) == ROWS[name]
    for rows in (read_scores(out, name), read_scores(few, name)):
        assert {frozenset(row) for row in rows} == {frozenset(FILE_KEYS[name])}


def test_no_file_holds_what_json_does_not_know(out: Path, few: Path) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    for folder in (out, few):
        for path in (folder / "scores").iterdir():
            for line in path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]:
                json.loads(line, parse_constant=refuse)


def test_golden_responses_given_as_a_methods_get_exactly_zero(out: Path) -> None:
    rows = [row for row in read_scores(out, "remi") if row["method"] == "golden"]
    assert len(rows) == 6
    assert {(row["remi"], row["ci_low"], row["ci_high"]) for row in rows} == {(0.0, 0.0, 0.0)}
    assert all(row["model_mi"] == row["reference_mi"] for row in rows)
    assert {row["remid"] for row in read_scores(out, "remid") if row["method"] == "golden"} == {0.0}
    emi = [row["emi"] for row in read_scores(out, "baseline_emi") if row["method"] == "golden"]
    assert emi == pytest.approx([0.0] * 3, abs=1e-6)  # the embedding of a text depends on its batch by rounding


def test_the_average_is_that_of_the_subsets_and_missing_where_one_is(out: Path, few: Path) -> None:
    remi = read_scores(out, "remi")
    for row in read_scores(out, "averages"):
        own = [r["remi"] for r in remi if (r["method"], r["unit"]) == (row["method"], row["unit"])]
        assert row["average"] == pytest.approx(sum(own) / 3)
        assert row["ci_low"] <= row["average"] <= row["ci_high"]
        assert row["n_clusters"] >= max(r["n_clusters"] for r in remi)
    assert {row["average"] for row in read_scores(few, "averages")} == {None}


def test_an_averages_interval_is_that_of_its_difference_from_a_method_of_zero(out: Path) -> None:
    """Golden responses have R-EMI zero without any spread, so what differs from them differs by its own R-EMI."""
    found = {(row["method"], row["unit"]): row for row in read_scores(out, "averages")}
    differences = [row for row in read_scores(out, "differences") if row["subset"] == "average"]
    compared = [row for row in differences if row["first"] == "golden"]
    assert len(compared) == 4
    for row in compared:
        own = found[row["second"], row["unit"]]
        assert (-row["ci_high"], -row["ci_low"]) == pytest.approx((own["ci_low"], own["ci_high"]))


def test_contributions_average_to_remi_and_are_null_for_samples_that_take_no_part(out: Path, few: Path) -> None:
    for folder in (out, few):
        remi = {(r["method"], r["subset"]): r for r in read_scores(folder, "remi") if r["unit"] == "nats_per_token"}
        rows = read_jsonl(folder / "scores" / "contributions.jsonl")
        assert {(row["method"], row["subset"]) for row in rows} == {
            key for key, r in remi.items() if r["remi"] is not None
        }
        for row in rows:
            known = [value for value in row["contributions"] if value is not None]
            expected = remi[row["method"], row["subset"]]
            assert sum(known) / len(known) == pytest.approx(expected["remi"])
            assert (len(known), len(row["sample_ids"]) - len(known)) == (expected["n_samples"], expected["n_unscored"])


def test_samples_are_written_as_they_were_tested(out: Path, benchmark: Benchmark) -> None:
    rows = read_jsonl(out / "samples.jsonl")
    assert {row["sample_id"] for row in rows} == {sample.sample_id for sample in benchmark}
    by_id = {row["sample_id"]: row for row in rows}
    for sample in benchmark:
        assert by_id[sample.sample_id] == json.loads(json.dumps(asdict(sample)))


def test_remid_is_what_is_lost_from_id_to_the_subset(out: Path) -> None:
    remi = read_scores(out, "remi")
    for row in read_scores(out, "remid"):
        same = {"method": row["method"], "unit": row["unit"]}
        on_id, on_subset = (only(remi, subset=key, **same) for key in ("id", row["subset"]))
        assert row["remid"] == pytest.approx(on_id["remi"] - on_subset["remi"], abs=1e-12)
        assert row["shift"] == {"korean": "user", "word_level": "dialogue"}[row["subset"]]


def test_emid_of_the_baseline_is_what_is_lost_and_null_on_id(out: Path) -> None:
    rows = read_scores(out, "baseline_emi")
    for row in rows:
        on_id = only(rows, method=row["method"], subset="id")
        assert on_id["emid"] is None
        assert row["n_training_pairs"] == 12
        if row["subset"] != "id":
            assert row["emid"] == pytest.approx(on_id["emi"] - row["emi"], abs=1e-12)
    assert any(row["emi"] != 0 for row in rows if row["method"] == "echo")


def test_methods_that_answer_alike_differ_by_nothing_and_without_a_p_value(out: Path) -> None:
    rows = [r for r in read_scores(out, "differences") if (r["first"], r["second"]) == ("echo", "twin")]
    assert {row["subset"] for row in rows} == {*SIZES, "average"}
    assert {(row["difference"], row["p_value"], row["adjusted_p"]) for row in rows} == {(0.0, None, None)}


def test_differences_are_those_of_remi_and_holm_raises_no_p_value_above_one(out: Path) -> None:
    remi = read_scores(out, "remi")
    known = [row for row in read_scores(out, "differences") if row["p_value"] is not None]
    assert len(known) == 16  # golden against echo and against twin
    for row in known:
        assert row["p_value"] < row["adjusted_p"] <= 1 or row["p_value"] == row["adjusted_p"]
        if row["subset"] != "average":
            first, second = (only(remi, method=m, subset=row["subset"], unit=row["unit"]) for m in ("golden", "echo"))
            assert row["difference"] == pytest.approx(first["remi"] - second["remi"], abs=1e-12)
    for unit in ("nats_per_token", "nats_per_response"):
        family = [row for row in known if row["unit"] == unit]
        smallest = min(family, key=lambda row: row["p_value"])
        assert smallest["adjusted_p"] == pytest.approx(min(1.0, len(family) * smallest["p_value"]))


def test_the_parts_of_the_joint_divergence_add_up(out: Path) -> None:
    rows = read_scores(out, "divergences")
    for key in ("korean", "word_level"):
        joint = only(rows, subset=key, component="joint")
        parts = [only(rows, subset=key, component=name) for name in COMPONENTS]
        assert sum(row["part"] for row in parts) == pytest.approx(joint["raw"])
        assert sum(row["part_bias_removed"] for row in parts) == pytest.approx(joint["bias_removed"])
        assert (joint["part"], joint["unknown_share"], joint["measures_script"]) == (None, None, None)
        assert all(0 < row["raw"] < joint["raw"] <= math.log(2) for row in parts if row["component"] != "user")


# Bounds


def test_every_method_and_shifted_subset_has_the_three_forms(out: Path) -> None:
    rows = read_scores(out, "bounds")
    found = [(row["method"], row["subset"], row["form"]) for row in rows]
    forms = ("theorem", "calibrated", "corrected")
    assert found == [(m, key, f) for m in ("golden", "echo", "twin") for key in ("korean", "word_level") for f in forms]
    assert {(row["form"], row["unit"]) for row in rows} == {
        ("theorem", "nats_per_response"),
        ("calibrated", "nats_per_token"),
        ("corrected", "nats_per_response"),
    }
    assert {row["arithmetic"] for row in rows} == {"exact"}


def test_the_theorems_bound_follows_from_the_terms_beside_it(out: Path) -> None:
    for row in read_scores(out, "bounds"):
        terms = {f"jsd_{name}": row[f"jsd_{name}"] for name in COMPONENTS}
        if row["form"] == "theorem":
            bound = remid_upper_bound(**terms, h_hat=row["h_hat"], delta=row["delta"])
            assert row["bound"] == pytest.approx(bound, abs=1e-12)
            assert row["label"].startswith("Theorem 3.4 as written")
        elif row["form"] == "calibrated":
            assert row["bound"] == pytest.approx(calibrated_bound(**terms), abs=1e-12)
            assert row["label"].startswith("uncalibrated")
            assert (row["h_hat"], row["delta"]) == (None, None)


def test_divergences_in_the_bounds_are_those_of_their_own_file(out: Path) -> None:
    divergences = read_scores(out, "divergences")
    for row in read_scores(out, "bounds"):
        source = "part" if row["form"] == "corrected" else "raw"
        found = {name: only(divergences, subset=row["subset"], component=name) for name in COMPONENTS}
        assert {name: row[f"jsd_{name}"] for name in COMPONENTS} == {n: found[n][source] for n in COMPONENTS}
        if row["form"] == "corrected":
            joint = only(divergences, subset=row["subset"], component="joint")
            assert sum(row[f"jsd_{name}"] for name in COMPONENTS) == pytest.approx(joint["raw"])
            assert row["jsd_null"] == joint["null_mean"]
            assert row["label"].startswith("diagnostic, no bound")
        else:
            assert row["jsd_null"] == pytest.approx(np.mean([found[name]["null_mean"] for name in COMPONENTS]))


def test_remid_beside_a_bound_is_that_of_its_own_file_and_unit(out: Path) -> None:
    remid = read_scores(out, "remid")
    for row in read_scores(out, "bounds"):
        beside = only(remid, method=row["method"], subset=row["subset"], unit=row["unit"])
        names = ("remid", "ci_low", "ci_high", "interval_reliable")
        assert [row[n if n == "remid" else f"remid_{n}"] for n in names] == [beside[n] for n in names]


def test_h_hat_is_the_largest_surprisal_of_golden_and_model_together(out: Path) -> None:
    for key in ("korean", "word_level"):
        sums = [
            [-np.diagonal(block(out, column, name).sums_N_N) for name in ("id", key)] for column in ("(golden)", "echo")
        ]
        golden_M, model_M = (np.concatenate(parts) for parts in sums)
        rows = {r["form"]: r for r in read_scores(out, "bounds") if (r["method"], r["subset"]) == ("echo", key)}
        assert rows["theorem"]["h_hat"] == pytest.approx((golden_M + model_M).max())
        assert rows["corrected"]["h_hat"] == pytest.approx(golden_M.max() + model_M.max())


def test_the_corrected_bound_follows_from_likelihoods_and_embeddings(out: Path, tiny_lm: CausalLM) -> None:
    (samples,) = out.glob("stages/embeddings-samples-*/vectors.npz")
    (answers,) = out.glob("stages/embeddings-echo-*/vectors.npz")
    pairs = load_vectors(answers)["responses"], load_vectors(samples)["golden"][12:]  # behind the training samples
    ends = np.cumsum(list(SIZES.values()))[:-1]
    by_subset = zip(SIZES, *(np.split(rows, ends) for rows in pairs), strict=True)
    jsd = {key: representation_jsd(model, golden_rows) for key, model, golden_rows in by_subset}
    for key in ("korean", "word_level"):
        row = only(read_scores(out, "bounds"), method="echo", subset=key, form="corrected")
        blocks = [block(out, column, name) for column in ("(golden)", "echo") for name in ("id", key)]
        most = max(int(found.tokens_N_N.max()) for found in blocks)
        bound = corrected_upper_bound(
            jsd_joint=only(read_scores(out, "divergences"), subset=key, component="joint")["raw"],
            h_hat_golden=row["h_hat"],  # only the sum of the two counts
            h_hat_model=0.0,
            tv_p=min(1.0, math.sqrt(2 * jsd["id"])),
            tv_q=min(1.0, math.sqrt(2 * jsd[key])),
            log_n_responses=most * math.log(tiny_lm.chat.vocabulary_size),
        )
        assert row["delta"] == pytest.approx(jsd["id"] + jsd[key])
        assert row["bound"] == pytest.approx(bound)


def test_an_interval_stands_around_every_bound_that_is_smooth(out: Path) -> None:
    for row in read_scores(out, "bounds"):
        smooth = row["form"] == "calibrated" or (row["form"] == "theorem" and row["method"] != "golden")
        assert (row["bound_ci_low"] is not None) == smooth
        if smooth:
            assert row["bound_ci_low"] < row["bound"] < row["bound_ci_high"]
            assert (row["bound_ci_low"] + row["bound_ci_high"]) / 2 == pytest.approx(row["bound"])
            assert row["interval_reliable"] is False


# Too little to estimate


ESTIMATES = {
    "remi": ("remi", "model_mi", "reference_mi", "ci_low", "ci_high", "interval_reliable"),
    "remid": ("remid", "ci_low", "ci_high", "interval_reliable"),
    "differences": ("difference", "p_value", "adjusted_p", "ci_low", "ci_high", "interval_reliable"),
    "baseline_emi": ("emi", "emid", "model_mi", "reference_mi", "ci_low", "ci_high", "interval_reliable"),
}


@pytest.mark.parametrize("name", ESTIMATES)
@pytest.mark.parametrize("key", ["korean", "word_level"])
def test_below_three_samples_everything_is_null_and_never_zero(few: Path, name: str, key: str) -> None:
    rows = [row for row in read_scores(few, name) if row["subset"] == key]
    assert rows
    assert {row[field] for row in rows for field in ESTIMATES[name]} == {None}
    assert {row["n_samples"] for row in rows if "n_samples" in row} in ({2}, set())


def test_a_subset_of_two_samples_has_no_divergence_and_no_bound(few: Path) -> None:
    for row in read_scores(few, "divergences"):
        values = {row[f] for f in ("raw", "raw_spread", "null_mean", "null_q95", "bias_removed", "part")}
        assert (values == {None}) == (row["subset"] == "word_level")
    bounds = [row for row in read_scores(few, "bounds") if row["subset"] == "word_level"]
    assert len(bounds) == 6
    fields = ("jsd_user", "jsd_character", "jsd_dialogue", "jsd_null", "bound", "bound_bias_removed", "remid")
    assert {row[field] for row in bounds for field in (*fields, "delta", "bound_ci_low", "remid_ci_low")} == {None}


def test_two_answers_are_too_few_for_deviations_but_the_inputs_divergences_stand(few: Path) -> None:
    rows = {r["form"]: r for r in read_scores(few, "bounds") if (r["subset"], r["method"]) == ("korean", "echo")}
    assert rows["calibrated"]["bound"] > 0
    for form in ("theorem", "corrected"):
        assert rows[form]["jsd_user"] is not None
        assert (rows[form]["delta"], rows[form]["bound"], rows[form]["bound_ci_low"]) == (None, None, None)
    assert {row["remid"] for row in rows.values()} == {None}


def test_without_the_id_subset_there_is_nothing_to_compare_with_and_the_lists_are_empty(
    scored: Score, benchmark: Benchmark
) -> None:
    answers = {s.sample_id: s.last_query for key in ("korean", "word_level") for s in benchmark.test[key]}
    out = scored(benchmark, {"echo": answers})
    for name in ("remid", "divergences", "bounds", "differences"):
        assert read_scores(out, name) == []
    assert all(row["remi"] is not None for row in read_scores(out, "remi"))
    assert not (out / "scores" / "baseline_emi.json").exists()


# Tokens


def tokens(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "scores" / "tokens.jsonl").read_text().split("\n") if line]


def test_a_line_of_tokens_adds_up_to_the_pair_on_the_diagonal(out: Path, benchmark: Benchmark) -> None:
    rows = tokens(out)
    assert {frozenset(row) for row in rows} == {frozenset({"sample_id", "method", "tokens", "log_probs"})}
    assert len(rows) == 4 * sum(SIZES.values())
    for method, column in ((None, "(golden)"), ("echo", "echo")):
        for key, samples in benchmark.test.items():
            found = block(out, column, key)
            for i, sample in enumerate(samples):
                row = only(rows, method=method, sample_id=sample.sample_id)
                assert len(row["tokens"]) == len(row["log_probs"]) == found.tokens_N_N[i, i]
                assert sum(row["log_probs"]) == pytest.approx(found.sums_N_N[i, i], abs=1e-9)


def test_the_tokens_spell_the_response_and_the_end_of_turn(out: Path, benchmark: Benchmark, tiny_lm: CausalLM) -> None:
    given = {None: golden(benchmark), "echo": echo(benchmark)}
    tokenizer = tiny_lm.chat.tokenizer
    for row in tokens(out):
        if row["method"] in given:
            *text, end = row["tokens"]
            assert tokenizer.convert_tokens_to_string(text) == given[row["method"]][row["sample_id"]]
            assert end == "<|im_end|>"
