"""What training did, made visible: a figure of small multiples and a section of one page for each method that trained.

Only what was logged is drawn. A value logged as null is a gap in its line; a step that logged nothing of a kind has no
point in it. The same logs give the same bytes.
"""

import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter
from tabulate import tabulate

from benchmark.run_store import read_json, read_jsonl, write_bytes, write_text
from reports.validation.output import COLOURS
from reports.validation.output import STYLE as COMMON_STYLE

LOG = "training_log.json"
STYLE = {**COMMON_STYLE, "font.size": 9, "axes.titlesize": 10, "figure.titlesize": 12, "svg.hashsalt": "training"}
LINES, MARKERS = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1))), ("o", "s", "^", "D", "v", "X", "P")
COLUMNS = 3
FEW_STEPS = 25
"""Up to so many points each has a marker; above, those without a neighbour, and some to tell curves apart."""
MARKED = 8
LONGEST_TEXT = 600
NAMED_ROWS = 5

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Curve:
    """One line of a panel, in the panel's unit; None is a gap."""

    label: str
    steps: tuple[int, ...]
    values: tuple[float | None, ...]
    spread: tuple[float | None, ...] = ()
    """Half the height of a band around the line; empty where there is no band."""


@dataclass(frozen=True)
class Panel:
    """Curves that share a unit."""

    title: str
    axis: str
    """Label of the y axis: what is shown, with its unit."""
    curves: tuple[Curve, ...]
    limits: tuple[float, float] | None = None


@dataclass(frozen=True)
class Layout:
    """Which keys of a log make a panel, and what they are multiplied by."""

    title: str
    axis: str
    keys: Mapping[str, str]
    factor: float = 1.0
    limits: tuple[float, float] | None = None


PERCENT = (-4.0, 104.0)
LAYOUTS = (
    Layout(
        "Implicit rewards",
        "reward (beta times nats)",
        {"rewards/chosen": "chosen", "rewards/rejected": "rejected", "rewards/margins": "margin"},
    ),
    Layout("Pairs ranked rightly", "pairs (%)", {"rewards/accuracies": "pairs ranked rightly"}, 100, PERCENT),
    Layout("Groups without spread", "groups (%)", {"frac_reward_zero_std": "groups without spread"}, 100, PERCENT),
    Layout("Mean length", "rollout (tokens)", {"completions/mean_length": "mean length"}),
    Layout(
        "Rollouts cut or malformed",
        "rollouts (%)",
        {"completions/clipped_share": "cut by the length limit", "completions/malformed_share": "malformed"},
        100,
        PERCENT,
    ),
    Layout("Entropy", "entropy (nats a token)", {"entropy": "entropy"}),
    Layout("Divergence from the reference model", "KL (nats a token)", {"kl": "KL"}),
    Layout("Tokens with a clipped ratio", "tokens (%)", {"clip_ratio/region_mean": "ratio clipped"}, 100),
    Layout("Gradient norm", "norm (no unit)", {"grad_norm": "gradient norm"}),
    Layout("Learning rate", "learning rate (no unit)", {"learning_rate": "learning rate"}),
)
"""Panels behind those of the loss and the reward, whose form depends on the log."""

SUMMARY_FACTS = {
    "step": "steps",
    "epoch": "epochs",
    "train_loss": "mean loss",
    "train_runtime": "seconds since the last start",
}


@dataclass(frozen=True)
class TrainedMethod:
    """What one method's training left in a run directory."""

    name: str
    """Its folder below `training/`; the base model stands before a slash where a run has several."""
    label: str
    panels: tuple[Panel, ...]
    summary: Row = field(default_factory=dict)
    """The log's last row; empty where training did not come to its end."""
    preflight: Row = field(default_factory=dict)
    rollouts: Sequence[Row] = ()

    @property
    def title(self) -> str:
        """The label, with the base model where the name has one."""
        base, slash, _ = self.name.rpartition("/")
        return f"{self.label} on {base}" if slash else self.label


def write_training_report(run: Path) -> list[Path]:
    """Draw each `training/**/training_log.json` of a run and write one page about all of them.

    Figures go to `figures/training/METHOD.{svg,png}`, the page to `training/README.md`, methods in the order of their
    specs in `manifest.json`. A log without a logged step has no figure.

    Returns:
        What was written, the page last; nothing is written where no method trained.

    Raises:
        RunFailure: a file is damaged or cannot be written.
    """
    trained = read_trained_methods(run)
    written = [path for method in trained if method.panels for path in _write_figure(method, run / "figures")]
    if trained:
        page = run / "training" / "README.md"
        write_text(page, as_markdown(trained))
        written.append(page)
    return written


def read_trained_methods(run: Path) -> list[TrainedMethod]:
    """Read what a run's `training` folder holds, base model by base model in the order of the specs."""
    manifest = run / "manifest.json"
    specs = read_json(manifest)["methods"] if manifest.is_file() else {}
    found = []
    for log in sorted((run / "training").glob(f"**/{LOG}")):
        name = log.parent.relative_to(run / "training").as_posix()
        base, _, key = name.rpartition("/")
        spec = specs.get(key, {"label": key, "order": math.inf})
        found.append(((base, spec["order"], key), _read_method(log, name, spec["label"])))
    return [method for _, method in sorted(found, key=lambda pair: pair[0])]


def _read_method(log: Path, name: str, label: str) -> TrainedMethod:
    rows = read_json(log)
    preflight, rollouts = log.with_name("preflight.json"), log.with_name("rollouts.jsonl")
    return TrainedMethod(
        name,
        label,
        tuple(build_panels(rows)),
        rows[-1] if rows and "train_loss" in rows[-1] else {},
        read_json(preflight) if preflight.is_file() else {},
        read_jsonl(rollouts) if rollouts.is_file() else (),
    )


def build_panels(rows: Sequence[Row]) -> list[Panel]:
    """Arrange the rows of a log (transformers' `log_history`) as panels; those without any value are left out."""
    panels = [_loss_panel(rows), *_reward_panels(rows)]
    for layout in LAYOUTS:
        panels.append(Panel(layout.title, layout.axis, _curves(rows, layout.keys, layout.factor), layout.limits))
    return [panel for panel in panels if panel.curves]


def _loss_panel(rows: Sequence[Row]) -> Panel:
    logged = {key for row in rows for key in row}
    title, axis = "Loss", "loss (nats a token)"
    if "reward" in logged:
        title, axis = "Policy-gradient loss", "loss (no unit)"
    elif "rewards/margins" in logged:
        axis = "loss (mean of pairs)"
    return Panel(title, axis, _curves(rows, {"loss": "loss"}))


def _reward_panels(rows: Sequence[Row]) -> tuple[Panel, Panel]:
    """Return the total with its spread, and its parts, unweighted as they are logged."""
    total = _curves(rows, {"reward": "reward"}, spread="reward_std")
    names = dict.fromkeys(found[1] for row in rows for key in row if (found := re.fullmatch("rewards/(.+)/mean", key)))
    parts = _curves(rows, {f"rewards/{name}/mean": name for name in names})
    return Panel("Reward", "reward (no unit)", total), Panel("Parts of the reward", "part (no unit)", parts)


def _curves(
    rows: Sequence[Row], keys: Mapping[str, str], factor: float = 1.0, spread: str | None = None
) -> tuple[Curve, ...]:
    """Return a curve for each key that has a value somewhere."""
    curves = []
    for key, label in keys.items():
        own = [row for row in rows if key in row]
        if any(row[key] is not None for row in own):
            values = tuple(None if row[key] is None else factor * row[key] for row in own)
            band = tuple(row.get(spread) for row in own) if spread else ()
            known = band if any(half is not None for half in band) else ()
            curves.append(Curve(label, tuple(row["step"] for row in own), values, known))
    return tuple(curves)


def draw_curves(method: TrainedMethod) -> Figure:
    """Return the figure of a method with at least one panel, all of them over the same range of steps."""
    columns = min(COLUMNS, len(method.panels))
    lines = math.ceil(len(method.panels) / columns)
    steps = [step for panel in method.panels for curve in panel.curves for step in curve.steps]
    margin = max(0.2, 0.02 * (max(steps) - min(steps)))
    with rc_context(STYLE):
        figure = Figure(figsize=(3.6 * columns, 2.7 * lines + 0.4), layout="constrained")
        figure.suptitle(f"Training of {method.title}", parse_math=False)
        for place, panel in enumerate(method.panels, start=1):
            axes = figure.add_subplot(lines, columns, place)
            _draw_panel(axes, panel)
            axes.set_xlim(min(steps) - margin, max(steps) + margin)
    return figure


def _draw_panel(axes: Axes, panel: Panel) -> None:
    for place, curve in enumerate(panel.curves):
        _draw_curve(axes, curve, place, tell_apart=len(panel.curves) > 1)
    axes.set_title(panel.title)
    axes.set_xlabel("step")
    axes.set_ylabel(panel.axis)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=(1, 2, 5, 10), integer=True, min_n_ticks=1))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:.6g}"))
    if panel.limits:
        axes.set_ylim(*panel.limits)
    if len(panel.curves) > 1 or panel.curves[0].spread:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=2, fontsize=8)


def _draw_curve(axes: Axes, curve: Curve, place: int, *, tell_apart: bool) -> None:
    colour, line, marker = COLOURS[place % len(COLOURS)], LINES[place % len(LINES)], MARKERS[place % len(MARKERS)]
    values = [math.nan if value is None else value for value in curve.values]
    alone = [
        i for i in range(len(values)) if all(map(math.isnan, (*values[max(i - 1, 0) : i], *values[i + 1 : i + 2])))
    ]
    every = 1 if len(values) <= FEW_STEPS else len(values) // MARKED if tell_apart else len(values) + 1
    marked = sorted({*alone, *range(every - 1, len(values), every)})
    label = curve.label.lstrip("_")  # matplotlib leaves names with an underscore in front out of a legend
    (drawn,) = axes.plot(curve.steps, values, color=colour, linestyle=line, linewidth=1.2, label=label)
    drawn.set(marker=marker, markersize=4, markevery=marked, markerfacecolor="none" if place else colour)
    if curve.spread:
        spread = [math.nan if half is None else half for half in curve.spread]
        low, high = ([v + sign * s for v, s in zip(values, spread, strict=True)] for sign in (-1, 1))
        label = "± standard deviation"
        axes.fill_between(curve.steps, low, high, color=colour, alpha=0.2, linewidth=0, label=label)
        axes.vlines(
            [curve.steps[i] for i in alone], [low[i] for i in alone], [high[i] for i in alone], colour, linewidth=0.8
        )


def _write_figure(method: TrainedMethod, folder: Path) -> Iterator[Path]:
    figure = draw_curves(method)
    for suffix, metadata in (("svg", {"Date": None}), ("png", {})):
        path = folder / "training" / f"{method.name}.{suffix}"
        content = io.BytesIO()
        with rc_context(STYLE):
            figure.savefig(content, format=suffix, dpi=150, metadata=metadata)
        write_bytes(path, content.getvalue())
        yield path


def as_markdown(trained: Sequence[TrainedMethod]) -> str:
    """Return the page: for each method its curves, first and last values, preflight, an example and rollouts."""
    head = (
        "# Training\n\nValues are those of the step they stand at, as the trainer logged them; – is a value that was "
        "not to be had. The loss of a policy gradient stays near zero while the policy learns: look at the reward, "
        "its spread and the gradient norm."
    )
    return "\n\n".join([head, *(part for method in trained for part in _section(method))]) + "\n"


def _section(method: TrainedMethod) -> Iterator[str]:
    yield f"## {method.title}"
    if method.panels:
        yield f"![Curves of {method.name}](../figures/training/{quote(method.name)}.svg)"
        yield _values_table(method.panels)
    else:
        yield "No step was logged."
    summary = [
        f"{label} {_number(method.summary[key])}" for key, label in SUMMARY_FACTS.items() if key in method.summary
    ]
    if summary:
        yield f"Whole training: {', '.join(summary)}."
    if method.preflight:
        yield from _preflight(method.preflight)
    if method.rollouts:
        yield from _rollouts(method.rollouts)


def _values_table(panels: Sequence[Panel]) -> str:
    body = []
    for panel in panels:
        for curve in panel.curves:
            ends = [f"{_number(curve.values[at])} (step {curve.steps[at]})" for at in (0, -1)]
            body.append([_cell(curve.label), _cell(panel.axis), *ends])
    return _table(["Curve", "Axis", "First", "Last"], body)


def _preflight(facts: Row) -> Iterator[str]:
    """Yield what was found before training: facts under the names that the file gives them, notes, one example."""
    yield "### Before training"
    examples = facts.get("examples") or ([facts["example"]] if facts.get("example") else [])
    named = {key: value for key, value in facts.items() if key not in ("example", "examples", "notes")}
    if named:
        body = [[_cell(key.replace("_", " ").capitalize()), _fact(value)] for key, value in named.items()]
        yield _table(["Fact", "Value"], body)
    if facts.get("notes"):
        yield "\n".join(f"- {note}" for note in facts["notes"])
    for example in examples[:1]:
        yield f"One row as the model sees it, decoded (sample `{example.get('sample_id', '–')}`)."
        for key, label in {"prompt_end": "End of the prompt", "supervised": "Supervised"}.items():
            if example.get(key) is not None:
                yield f"{label}:\n\n{_fenced(example[key])}"


def _fact(value: str | float | list[Any] | Mapping[str, float] | None) -> str:
    """Return a fact as a cell of a table; of a long list the number and the first few."""
    if isinstance(value, Mapping):
        return ", ".join(f"{_number(number)} {unit}" for unit, number in value.items())
    if isinstance(value, list):
        names = ", ".join(f"`{_cell(str(item))}`" for item in value[:NAMED_ROWS])
        more = f" … ({len(value) - NAMED_ROWS} more)" if len(value) > NAMED_ROWS else ""
        return f"{len(value)}: {names}{more}" if value else "none"
    if isinstance(value, str):
        return f"`{_cell(value)}`" if value else "–"
    return _number(value)


def _rollouts(rows: Sequence[Row]) -> Iterator[str]:
    """Yield rollouts of the first and the last step that has any: lowest, middle and highest reward of each."""
    steps = [row["step"] for row in rows]
    for step in sorted({min(steps), max(steps)}):
        own = [row for row in rows if row["step"] == step]
        scored = sorted((row for row in own if row["reward"] is not None), key=lambda row: float(row["reward"]))
        chosen = scored or own
        yield f"### Rollouts at step {step}"
        yield f"{len(own)} rollouts, {len(own) - len(scored)} without a reward; lowest, middle and highest reward:"
        for at in sorted({0, (len(chosen) - 1) // 2, len(chosen) - 1}):
            yield f"{_rollout_facts(chosen[at])}\n\n{_fenced(chosen[at]['text'])}"


def _rollout_facts(row: Row) -> str:
    parts = ", ".join(f"{name} {_number(value)}" for name, value in (row.get("parts") or {}).items())
    facts = [f"Sample `{row['sample_id']}`: reward {_number(row['reward'])}" + (f" ({parts})" if parts else "")]
    facts += [f"advantage {_number(row['advantage'])}"] if "advantage" in row else []
    facts += [f"ended by {row['finish_reason']}"] if row.get("finish_reason") else []
    return ", ".join([*facts, *(["malformed"] if row.get("malformed") else [])]) + "."


def _number(value: float | None) -> str:
    """Return a number with at least four significant digits, a count with all of them, and a dash for None."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"
    return "–" if value is None else f"{value:,}"


def _table(heads: list[str], body: list[list[str]]) -> str:
    return str(tabulate(body, headers=heads, tablefmt="github", disable_numparse=True))


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", r"\n")


def _fenced(text: str) -> str:
    """Return a text between fences that it cannot close, cut visibly where it is long."""
    more = len(text) - LONGEST_TEXT
    shown = f"{text[:LONGEST_TEXT]}… ({more} more characters)" if more > 0 else text
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", shown))])
    return f"{fence}text\n{shown}\n{fence}"
