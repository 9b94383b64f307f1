"""What a reader has to know of how this run's numbers were computed, where the paper does it otherwise."""

from collections.abc import Iterator

from reports.run_data import TOKEN, RunData


def departures(run: RunData) -> tuple[str, ...]:
    """Return a sentence for each departure that bears on this run's numbers."""
    return tuple(_departures(run))


def _departures(run: RunData) -> Iterator[str]:
    arithmetic = {row["arithmetic"] for row in run.rows("remi", unit=TOKEN)}
    if "exact" in arithmetic:
        yield (
            "Exactly the tokens of a response are scored, with its end-of-turn token where it ended by itself; nothing "
            "is cut. The authors' code leaves out its first tokens and counts some behind it."
        )
    if "released" in arithmetic:
        yield "The arithmetic is that of the authors' released code, its faults included."
    yield from _fit(run)
    pairs = sorted({str(row["pairs"]) for row in run.rows("remi", unit=TOKEN)})
    if pairs:
        yield f"Negatives: {', '.join(pairs)}. The paper's Eq. 2 averages over all pairs, the diagonal included."
    yield (
        "Intervals, tests between methods, the floor of the divergences and the correction for it are not in the "
        "paper; the variance is clustered by persona and by character."
    )
    if run.scores["bounds"]:
        yield (
            "The bound of Theorem 3.4 leaves out terms that the proof needs, so it can be exceeded; the calibrated "
            "form is on the scale of the paper's Table 12, and the corrected form is a diagnostic on text, no bound."
        )


def _fit(run: RunData) -> Iterator[str]:
    source = run.manifest.get("estimator_source")
    if run.manifest["estimator"].get("kind") == "base":
        yield "The estimator is a language model as it is: it writes no reasoning and was not trained."
    elif isinstance(source, dict) and "fit_on" in source:
        fitted, folds = ", ".join(source["fit_on"]), source.get("folds")
        if folds:
            how = f"in {folds} folds, so that no scored response was trained on"
        else:
            how = "without folds" + (
                "" if source["fit_on"] == ["train"] else ", so that scored responses were trained on"
            )
        yield f"The estimator was fitted on {fitted} {how}; the paper fits it on the evaluated splits without folds."
