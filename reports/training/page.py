"""What training did, made visible: figures of small multiples, and one page with a section for each training.

A method trained at once has one log; a training by co-evolution has one for each of its phases, and one section all the
same. The same logs give the same bytes.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.run_store import read_json, write_text
from reports.house_style import Chart, write_chart
from reports.table import without_halves
from reports.training.charts import EXPLANATION, Training, training_charts
from reports.training.log import LOG
from reports.training.phase_section import phase_section
from reports.training.phased_training import Phase, PhasedTraining, phase_place, read_phase
from reports.training.trained_method import method_section, read_method

FORMATS = ("svg", "png", "csv")


def write_training_report(run: Path) -> list[Path]:
    """Draw each `training/**/training_log.json` of a run and write one page about all of them.

    Figures go to `figures/training/METHOD.{svg,png}` with their numbers as CSV, those of folds to
    `figures/training/NAME/fold-I.*`, the page to `training/README.md`, methods in the order of their specs in
    `manifest.json` and what is no method behind them. A log without a logged step has no figure.

    Returns:
        What was written, the page last; nothing is written where nothing was trained.

    Raises:
        RunFailure: a file is damaged or cannot be written.
    """
    trained = read_trainings(run)
    return write_trainings(trained, training_charts(trained), run)


def write_trainings(trained: Sequence[Training], charts: Sequence[Chart], run: Path) -> list[Path]:
    """Write what `write_training_report` does, from trainings that are read and charts that are made."""
    written = [path for chart in charts for path in write_chart(chart, run / "figures", FORMATS)]
    if trained:
        page = run / "training" / "README.md"
        write_text(page, without_halves(as_markdown(trained)))
        written.append(page)
    return written


def read_trainings(run: Path) -> list[Training]:
    """Read what a run's `training` folder holds, base model by base model in the order of the specs."""
    manifest = run / "manifest.json"
    specs = read_json(manifest)["methods"] if manifest.is_file() else {}
    phases: dict[str, list[Phase]] = defaultdict(list)
    found: list[Training] = []
    for log in sorted((run / "training").glob(f"**/{LOG}")):
        folder = log.parent.relative_to(run / "training").as_posix()
        if place := phase_place(folder):
            phases[place[0]].append(read_phase(log, place[1]))
        else:
            found.append(read_method(log, folder, _spec(specs, folder)["label"]))
    for name, own in phases.items():
        in_order = tuple(sorted(own, key=lambda phase: phase.place.order))
        found.append(PhasedTraining(name, _spec(specs, name)["label"], in_order))
    return sorted(found, key=lambda one: (one.name.rpartition("/")[0], _spec(specs, one.name)["order"], one.name))


def _spec(specs: Mapping[str, Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    """Return label and order of what was trained, which has a base model in front of its key in some runs."""
    key = name.rpartition("/")[2]
    return specs.get(key, {"label": key, "order": math.inf})


def as_markdown(trained: Sequence[Training]) -> str:
    """Return the page: what its values are, and a section for each training."""
    return (
        "\n\n".join(["# Training", EXPLANATION, *(part for training in trained for part in _section(training))]) + "\n"
    )


def _section(training: Training) -> Iterator[str]:
    return phase_section(training) if isinstance(training, PhasedTraining) else method_section(training)
