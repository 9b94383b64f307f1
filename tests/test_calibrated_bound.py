"""The line through the published Table 12, and the words that stand beside what it gives."""

import math

import pytest

from benchmark.published import published_bound_terms
from scoring.calibrated_bound import PAPER_EMBEDDING, calibrated_bound, calibration, calibration_label


def test_the_line_is_the_published_one() -> None:
    line = calibration()
    assert (line.slope, line.intercept) == pytest.approx((0.0314, 0.0562), abs=5e-5)
    assert line.r_squared == pytest.approx(0.986, abs=5e-4)
    assert line.largest_error == pytest.approx(0.0010, abs=1e-4)
    assert line.n_points == 11


def test_it_solves_the_normal_equations() -> None:
    rows = published_bound_terms()
    sums = [math.sqrt(r.jsd_user) + math.sqrt(r.jsd_character) + math.sqrt(r.jsd_dialogue) for r in rows]
    residuals = [r.bound - calibration().intercept - calibration().slope * s for r, s in zip(rows, sums, strict=True)]
    assert sum(residuals) == pytest.approx(0.0, abs=1e-12)
    assert sum(r * s for r, s in zip(residuals, sums, strict=True)) == pytest.approx(0.0, abs=1e-12)


def test_it_reproduces_the_table_to_a_thousandth() -> None:
    for row in published_bound_terms():
        bound = calibrated_bound(jsd_user=row.jsd_user, jsd_character=row.jsd_character, jsd_dialogue=row.jsd_dialogue)
        assert bound == pytest.approx(row.bound, abs=0.0011)


def test_read_as_theorem_3_4_in_nats_the_line_would_leave_responses_no_entropy() -> None:
    line = calibration()
    assert line.slope / math.sqrt(2 / 3) == pytest.approx(0.04, abs=0.005)
    assert (line.intercept / 8) ** 4 == pytest.approx(2e-9, rel=0.3)


def test_by_hand() -> None:
    line = calibration()
    assert calibrated_bound(jsd_user=0.0, jsd_character=0.0, jsd_dialogue=0.0) == line.intercept
    value = calibrated_bound(jsd_user=0.25, jsd_character=0.16, jsd_dialogue=0.01)
    assert value == pytest.approx(line.intercept + line.slope * 1.0)


@pytest.mark.parametrize("value", [-0.001, 0.7, float("nan")])
def test_what_is_no_divergence_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"0 \.\. ln 2"):
        calibrated_bound(jsd_user=0.2, jsd_character=value, jsd_dialogue=0.2)


def test_only_the_papers_embedding_is_not_called_uncalibrated_and_even_then_it_is_a_presumption() -> None:
    assert calibration_label(PAPER_EMBEDDING).startswith("calibrated")
    assert "presuming" in calibration_label(PAPER_EMBEDDING)
    for other in ("all-MiniLM-L6-v2", "Qwen/Qwen3-Embedding-4B", PAPER_EMBEDDING.lower()):
        label = calibration_label(other)
        assert label.startswith("uncalibrated")
        assert other in label
