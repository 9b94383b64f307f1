"""The figure of each training with the numbers that it draws: small multiples over its steps."""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from reports.house_style import Chart
from reports.table import Value
from reports.training.log import LOG
from reports.training.panels import Panel, draw_panels
from reports.training.phase_figure import phase_panels, phases_note, stretches
from reports.training.phased_training import Phase, PhasedTraining
from reports.training.trained_method import TrainedMethod

Training: TypeAlias = TrainedMethod | PhasedTraining
EXPLANATION = (
    "Values are those of the step they stand at, as the trainer logged them; where a line breaks or a table has –, "
    "there was none. The loss of a policy gradient stays near zero while the policy learns: look at the reward, its "
    "spread and the gradient norm."
)


def training_charts(trained: Sequence[Training]) -> tuple[Chart, ...]:
    """Return a figure for each training, and for each fold of an estimator; none for one without a logged step."""
    return tuple(chart for training in trained for chart in _charts(training))


def _charts(training: Training) -> Iterator[Chart]:
    if isinstance(training, TrainedMethod):
        if training.panels:
            yield _chart(training.name, training.title, training.panels)
        return
    for name, title, phases in training.figures():
        if panels := phase_panels(phases):
            yield _chart(name, title, panels, phases)


def _chart(name: str, title: str, panels: Sequence[Panel], phases: Sequence[Phase] = ()) -> Chart:
    return Chart(
        name=f"training/{name}",
        title=f"Training of {title}",
        caption=" ".join([_steps(panels), *([phases_note(phases)] if phases else [])]),
        figure=draw_panels(panels, stretches(phases)),
        data=tuple(_numbers(panels)),
        sources=(f"training/{name}/{LOG}" if not phases else f"training/{name}/*/*/{LOG}",),
    )


def _steps(panels: Sequence[Panel]) -> str:
    logged = {step for panel in panels for curve in panel.curves for step in curve.steps}
    return f"Steps that were logged: {len(logged):,}."


def _numbers(panels: Sequence[Panel]) -> Iterator[dict[str, Value]]:
    for panel in panels:
        for curve in panel.curves:
            spreads = curve.spread or (None,) * len(curve.steps)
            for step, value, spread in zip(curve.steps, curve.values, spreads, strict=True):
                yield {
                    "panel": panel.title,
                    "axis": panel.axis.replace("\n", " "),
                    "curve": curve.label,
                    "step": step,
                    "value": value,
                    "spread": spread,
                }
