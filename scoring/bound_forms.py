"""The three forms of the bound on R-EMID as they are shown for texts, each under its own name and with its terms.

"theorem" is Theorem 3.4 as written, in nats a response. "calibrated" is the line that the paper's Table 12 lies on.
"corrected" is the form that no finite world breaks; for texts its terms are themselves estimates, so there it is a
diagnostic and no bound. See docs/theory.md.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from scoring.bound import corrected_upper_bound, remid_upper_bound
from scoring.bound_terms import Deviation, EntropyTerms, HHatRule, root_resamples
from scoring.calibrated_bound import calibrated_bound, calibration, calibration_label
from scoring.remi import Unit
from scoring.resamples import Resamples

Form = Literal["theorem", "calibrated", "corrected"]


@dataclass(frozen=True)
class Shift:
    """How far a subset lies from the in-distribution test."""

    components: Mapping[str, Mapping[str, Any]]
    """"user", "character", "dialogue" -> the fields of `DivergenceEstimate`, with "part" and "part_bias_removed"."""
    joint: Mapping[str, Any]
    """The fields of `DivergenceEstimate` for the joint divergence."""
    resamples: Mapping[str, Resamples]
    """First-order resamples of each component's divergence."""

    @property
    def raw(self) -> dict[str, float] | None:
        """The components' divergences in nats; None where the subset is too small for them."""
        values = {name: row["raw"] for name, row in self.components.items()}
        return None if None in values.values() else values

    @property
    def bias_removed(self) -> dict[str, float] | None:
        """The same less the floor, and 0 where that leaves less than nothing."""
        values = {name: row["bias_removed"] for name, row in self.components.items()}
        return None if None in values.values() else {name: max(0.0, value) for name, value in values.items()}


@dataclass(frozen=True)
class BoundEstimate:
    """One form of the bound for one method and subset; None where a term is missing."""

    form: Form
    unit: Unit
    """Of the R-EMID to be shown beside it."""
    jsd: Mapping[str, float | None]
    """The terms used for user, character and dialogue; in "corrected" the parts of the joint divergence."""
    jsd_null: float | None
    """What finite samples alone give: the mean of the three floors; in "corrected" the joint divergence's."""
    h_hat: float | None
    delta: float | None
    bound: float | None
    bound_bias_removed: float | None
    """The bound with the floors taken from the divergences of the inputs."""
    resamples: Resamples | None
    """First order in the divergences; the entropy term is held fixed."""
    label: str


def theorem_form(
    shift: Shift,
    entropies: EntropyTerms | None,
    on_id: Deviation | None,
    on_subset: Deviation | None,
    *,
    rule: HHatRule,
) -> BoundEstimate:
    """Return Theorem 3.4 as written."""
    h_hat = None if entropies is None else entropies.of_sums
    delta = None if on_id is None or on_subset is None else on_id.jsd + on_subset.jsd
    how = "largest" if rule == "max" else "0.95 quantile of the"
    label = (
        f"Theorem 3.4 as written; H-hat is the {how} sum of the golden and the model's surprisal over the samples, "
        "Delta the divergence of response embeddings"
    )
    return BoundEstimate(
        form="theorem",
        unit="nats_per_response",
        jsd=shift.raw or {},
        jsd_null=_mean_floor(shift),
        h_hat=h_hat,
        delta=delta,
        bound=_theorem(shift.raw, h_hat, delta),
        bound_bias_removed=_theorem(shift.bias_removed, h_hat, delta),
        resamples=_theorem_resamples(shift, h_hat, on_id, on_subset),
        label=label,
    )


def calibrated_form(shift: Shift, embedding: str) -> BoundEstimate:
    """Return the line through the published Table 12, labelled by whether this embedding may be the paper's."""
    return BoundEstimate(
        form="calibrated",
        unit="nats_per_token",
        jsd=shift.raw or {},
        jsd_null=_mean_floor(shift),
        h_hat=None,
        delta=None,
        bound=None if shift.raw is None else calibrated_bound(**_named(shift.raw)),
        bound_bias_removed=None,
        resamples=_calibrated_resamples(shift),
        label=f"{calibration_label(embedding)}; R-EMID a token, beside it, is not bounded by it",
    )


def corrected_form(
    shift: Shift,
    entropies: EntropyTerms | None,
    on_id: Deviation | None,
    on_subset: Deviation | None,
    *,
    log_n_responses: float,
) -> BoundEstimate:
    """Return the corrected form as a diagnostic: joint divergence, largest surprisals, total variation by sqrt(2 D)."""
    h_hat = None if entropies is None else entropies.golden + entropies.model
    delta = None if on_id is None or on_subset is None else on_id.jsd + on_subset.jsd

    def bound(joint: float | None) -> float | None:
        if joint is None or entropies is None or on_id is None or on_subset is None:
            return None
        return corrected_upper_bound(
            jsd_joint=joint,
            h_hat_golden=entropies.golden,
            h_hat_model=entropies.model,
            tv_p=_variation(on_id.jsd),
            tv_q=_variation(on_subset.jsd),
            log_n_responses=log_n_responses,
        )

    less_floor = shift.joint["bias_removed"]
    return BoundEstimate(
        form="corrected",
        unit="nats_per_response",
        jsd={name: row["part"] for name, row in shift.components.items()},
        jsd_null=shift.joint["null_mean"],
        h_hat=h_hat,
        delta=delta,
        bound=bound(shift.joint["raw"]),
        bound_bias_removed=bound(None if less_floor is None else max(0.0, less_floor)),
        resamples=None,
        label=(
            "diagnostic, no bound: the corrected form with estimated terms; ln |Y| is the most tokens of a response "
            "times ln of the vocabulary; jsd_* are the parts of the joint divergence; no interval"
        ),
    )


def _theorem(jsd: Mapping[str, float] | None, h_hat: float | None, delta: float | None) -> float | None:
    if jsd is None or h_hat is None or delta is None:
        return None
    return remid_upper_bound(**_named(jsd), h_hat=h_hat, delta=delta)


def _theorem_resamples(
    shift: Shift, h_hat: float | None, on_id: Deviation | None, on_subset: Deviation | None
) -> Resamples | None:
    roots = _roots(shift)
    if roots is None or h_hat is None or on_id is None or on_subset is None:
        return None
    delta = on_id.resamples + on_subset.resamples
    fourth_root = root_resamples(delta, delta.estimate, 0.25)
    return None if fourth_root is None else math.sqrt(2 / 3) * h_hat * roots + 8.0 * fourth_root


def _calibrated_resamples(shift: Shift) -> Resamples | None:
    roots = _roots(shift)
    if roots is None:
        return None
    line = calibration()
    scaled = line.slope * roots
    return Resamples(scaled.estimate + line.intercept, scaled.deviations_3_B)


def _roots(shift: Shift) -> Resamples | None:
    """Return resamples of the sum of the roots of the three divergences, around the values that are shown."""
    if shift.raw is None:
        return None
    roots = [root_resamples(shift.resamples[name], value, 0.5) for name, value in shift.raw.items()]
    known = [root for root in roots if root is not None]
    return sum(known[1:], start=known[0]) if len(known) == len(roots) else None


def _named(jsd: Mapping[str, float]) -> dict[str, float]:
    return {f"jsd_{name}": value for name, value in jsd.items()}


def _mean_floor(shift: Shift) -> float | None:
    floors = [row["null_mean"] for row in shift.components.values()]
    return None if None in floors else sum(floors) / len(floors)


def _variation(jsd: float) -> float:
    """Return the upper bound sqrt(2 D) on a total variation, at most 1."""
    return min(1.0, math.sqrt(2.0 * jsd))
