"""The phases of a training by co-evolution stand on one x axis and in one section, and trouble is said plainly."""

import json
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes

from benchmark.errors import RunFailure
from reports.training.charts import training_charts
from reports.training.page import write_training_report
from reports.training.panels import Stretch, draw_panels, label_rows
from reports.training.phase_figure import phase_panels, phases_note, stretches
from reports.training.phase_guards import warnings
from reports.training.phase_section import phase_section
from reports.training.phased_training import Phase, PhasedTraining, PhasePlace, phase_place

COLD, GENERATOR, IMITATION, POLICY = (
    PhasePlace(0, 0, 1, "generator", "sft"),
    PhasePlace(0, 1, 1, "generator", "rl"),
    PhasePlace(0, 1, 2, "policy", "sft"),
    PhasePlace(0, 1, 3, "policy", "rl"),
)
FOLDERS = {
    "cold-start/1-generator-sft": COLD,
    "iteration-01/1-generator-rl": GENERATOR,
    "iteration-01/2-policy-sft": IMITATION,
    "iteration-01/3-policy-rl": POLICY,
}


def phase(place: PhasePlace, *rows: Mapping[str, Any], **others: Any) -> Phase:  # noqa: ANN401
    """Return a phase whose rows are numbered from step 1 on."""
    log = [{**row, "step": step} for step, row in enumerate(rows, start=1)]
    return Phase(place, log, others.get("preflight", {}), others.get("rollouts", ()))


def losses(*values: float) -> list[dict[str, Any]]:
    return [{"loss": value, "grad_norm": 1.0} for value in values]


def generator_rows() -> list[dict[str, Any]]:
    """Return three steps: perplexity at two of them, no correlation at the second."""
    rows: list[dict[str, Any]] = []
    for reward in (-30.0, -20.0, -25.0):
        row = {"loss": 0.0, "reward": reward, "rewards/likelihood/mean": reward, "reward_std": 2.0}
        guards = {"guards/copied_share": 0.1, "guards/copied_share_max": 0.25, "guards/shown_words": 40.0}
        lengths = {
            "completions/mean_length": 60.0,
            "completions/clipped_share": 0.5,
            "completions/malformed_share": 0.25,
        }
        rows.append({**row, **guards, **lengths, "entropy": 1.5, "grad_norm": 3.0, "frac_reward_zero_std": 0.5})
    for at, correlation, perplexity in ((0, 0.5, 12.0), (2, -0.75, 8.0)):
        rows[at] |= {"guards/length_reward_correlation": correlation, "held_out/perplexity": perplexity}
    return rows


def policy_rows() -> list[dict[str, Any]]:
    """Return two steps, the first of them without spread in any group."""
    row = {"rewards/ratio/mean": 0.5, "completions/mean_length": 9.0, "entropy": 1.0, "grad_norm": 2.0}
    return [
        {**row, "reward": 0.25, "reward_std": 0.0, "frac_reward_zero_std": 1.0, "held_out/perplexity": 7.0},
        {**row, "reward": 0.75, "reward_std": 0.125, "frac_reward_zero_std": 0.0},
    ]


def fold() -> list[Phase]:
    """Return phases of 2, 3, 1 and 2 steps, so that they begin behind steps 0, 2, 5 and 6."""
    return [
        phase(COLD, *losses(4.0, 3.0)),
        phase(GENERATOR, *generator_rows()),
        phase(IMITATION, *losses(2.0)),
        phase(POLICY, *policy_rows()),
    ]


def put(run: Path, name: str, phases: Sequence[Phase]) -> None:
    for folder, place in FOLDERS.items():
        for one in phases:
            if one.place == place:
                below = run / "training" / name / folder
                below.mkdir(parents=True)
                (below / "training_log.json").write_text(json.dumps(one.log))
                (below / "preflight.json").write_text(json.dumps({"rows": 4, "longest_tokens": 90, "notes": []}))


def drawn(phases: Sequence[Phase]) -> dict[str, Axes]:
    figure = draw_panels(phase_panels(phases), stretches(phases))
    return {axes.get_title(loc="left"): axes for axes in figure.axes}


def points(axes: Axes, line: int = 0) -> list[tuple[float, float | None]]:
    """Return the points of a line; None is a break."""
    x, y = (np.asarray(data, dtype=float).tolist() for data in axes.get_lines()[line].get_data())
    return [(step, None if math.isnan(value) else value) for step, value in zip(x, y, strict=True)]


def section(phases: Sequence[Phase]) -> str:
    return "\n\n".join(phase_section(PhasedTraining("estimator", "estimator", tuple(phases))))


def body(text: str) -> list[list[str]]:
    """Return the cells of the rows of the page's table."""
    rows = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows[2:]]


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("estimator/fold-10/cold-start/2-policy-sft", ("estimator", PhasePlace(10, 0, 2, "policy", "sft"))),
        ("corl/iteration-02/1-thinking-rl", ("corl", PhasePlace(None, 2, 1, "thinking", "rl"))),
        (
            "Qwen_Qwen3-4B/corl/iteration-01/2-answer-sft",
            ("Qwen_Qwen3-4B/corl", PhasePlace(None, 1, 2, "answer", "sft")),
        ),
        ("grpo", None),
        ("Qwen_Qwen3-4B/sft", None),
        ("corl/iteration-02/1-thinking-dpo", None),
    ],
)
def test_a_folder_tells_where_its_phase_stands(folder: str, expected: tuple[str, PhasePlace] | None) -> None:
    assert phase_place(folder) == expected


@pytest.mark.parametrize(
    ("title", "line", "expected"),
    [
        ("Reward (generator)", 0, [(3, -30), (4, -20), (5, -25)]),
        ("Reward (policy)", 0, [(7, 0.25), (8, 0.75)]),
        ("Held-out perplexity", 0, [(3, 12), (5, 8), (5, None), (7, 7)]),
        ("Spread of the reward (policy)", 0, [(7, 0), (8, 0.125)]),
        ("Groups without spread", 0, [(3, 50), (4, 50), (5, 50), (5, None), (7, 100), (8, 0)]),
        ("Copied from the golden response", 0, [(3, 25), (4, 25), (5, 25)]),
        ("Copied from the golden response", 1, [(3, 10), (4, 10), (5, 10)]),
        ("Length and reward", 0, [(3, 0.5), (5, -0.75)]),
        ("Length of what is shown", 0, [(3, 40), (4, 40), (5, 40)]),
        ("Mean length (generator)", 0, [(3, 60), (4, 60), (5, 60)]),
        ("Mean length (policy)", 0, [(7, 9), (8, 9)]),
        ("Rollouts cut or malformed", 1, [(3, 25), (4, 25), (5, 25)]),
        ("Entropy", 0, [(3, 1.5), (4, 1.5), (5, 1.5), (5, None), (7, 1), (8, 1)]),
        (
            "Gradient norm",
            0,
            [(1, 1), (2, 1), (2, None), (3, 3), (4, 3), (5, 3), (5, None), (6, 1), (6, None), (7, 2), (8, 2)],
        ),
        ("Loss of supervised phases", 0, [(1, 4), (2, 3), (2, None), (6, 2)]),
    ],
)
def test_steps_are_counted_on_and_lines_break_between_phases(
    title: str, line: int, expected: list[tuple[float, float | None]]
) -> None:
    panels = {panel.title: panel for panel in phase_panels(fold())}
    curve = panels[title].curves[line]
    assert list(zip(curve.steps, curve.values, strict=True)) == expected


def test_panels_hold_what_was_logged_and_lines_what_the_panels_hold() -> None:
    panels, axes = phase_panels(fold()), drawn(fold())
    assert list(axes) == [panel.title for panel in panels]
    assert list(axes) == [
        *("Reward (generator)", "Reward (policy)", "Held-out perplexity"),
        *("Spread of the reward (generator)", "Spread of the reward (policy)", "Groups without spread"),
        *("Copied from the golden response", "Length and reward", "Length of what is shown"),
        *("Mean length (generator)", "Mean length (policy)", "Rollouts cut or malformed"),
        *("Entropy", "Gradient norm", "Loss of supervised phases"),
    ]
    assert points(axes["Held-out perplexity"]) == [(3, 12), (5, 8), (5, None), (7, 7)]
    assert points(axes["Copied from the golden response"], line=1) == [(3, 10), (4, 10), (5, 10)]


def test_a_training_without_guards_and_held_out_samples_has_no_panels_of_them() -> None:
    titles = [panel.title for panel in phase_panels([phase(POLICY, {"reward": 0.5, "rewards/ratio/mean": 0.5})])]
    assert titles == ["Reward (policy)"]


def test_a_null_within_a_phase_is_a_gap() -> None:
    rows: list[dict[str, Any]] = [{"reward": 0.5}, {"reward": None}, {"reward": 0.25}]
    (panel,) = phase_panels([phase(POLICY, *rows)])
    assert panel.curves[0].values == (0.5, None, 0.25)


def test_a_single_step_is_a_point_of_its_own_with_a_marker() -> None:
    axes = drawn([phase(COLD, *losses(*[1.0] * 40)), phase(GENERATOR, {"grad_norm": 5.0, "reward": -1.0})])
    line = axes["Gradient norm"].get_lines()[0]
    assert points(axes["Gradient norm"])[40:] == [(40, None), (41, 5)]
    assert line.get_markevery() == [41]
    assert line.get_marker() == "o"


def test_each_phase_begins_with_a_line_and_its_name_and_supervised_ones_are_shaded() -> None:
    assert stretches(fold()) == [
        Stretch(0.5, 2.5, "0.1", shaded=True),
        Stretch(2.5, 5.5, "1.1", shaded=False),
        Stretch(5.5, 6.5, "1.2", shaded=True),
        Stretch(6.5, 8.5, "1.3", shaded=False),
    ]
    for axes in drawn(fold()).values():
        lines = [line for line in axes.get_lines() if line.get_transform() == axes.get_xaxis_transform()]
        assert [float(np.asarray(line.get_xdata())[0]) for line in lines] == [0.5, 2.5, 5.5, 6.5]
        assert [(text.get_text(), text.xy[0]) for text in axes.texts] == [  # type: ignore[attr-defined]
            ("0.1", 0.5),
            ("1.1", 2.5),
            ("1.2", 5.5),
            ("1.3", 6.5),
        ]
        bands = [patch.get_extents().transformed(axes.transData.inverted()) for patch in axes.patches]
        assert [(round(float(band.x0), 6), round(float(band.x1), 6)) for band in bands] == [(0.5, 2.5), (5.5, 6.5)]


def test_labels_that_would_meet_stand_in_rows_above_each_other() -> None:
    # a label of three characters takes 0.022 * 4 = 8.8 of 100 steps
    begins = [0, 5, 8, 9, 50, 100]
    spans = [Stretch(begin, end, "1.1", shaded=False) for begin, end in pairwise(begins)]
    assert label_rows(spans) == [0, 1, 2, 0, 0]


def test_a_phase_without_a_step_takes_no_room() -> None:
    phases = [phase(COLD), phase(GENERATOR, {"reward": -1.0})]
    assert stretches(phases) == [Stretch(0.5, 1.5, "1.1", shaded=False)]
    assert body(section(phases))[0] == ["0", "0.1 generator SFT", "0", "loss –", "–", "–", "–", "–"]


@pytest.mark.parametrize(
    ("parts", "axis"),
    [
        ({"likelihood": -30.0}, "log p of the\ngolden response (nats)"),
        ({"likelihood": 0.25}, "probability a token (0 to 1)"),
        ({"ratio": 0.25}, "ratio (0 to 1)"),
        ({"form": 0.5, "length": 0.5, "likelihood": -30.0}, "log p + form + length (nats)"),
        ({"form": 0.5, "likelihood": 0.25}, "probability + form (no unit)"),
        ({"taste": 0.5}, "taste (no unit)"),
        ({}, "reward (no unit)"),
    ],
)
def test_the_axis_of_a_reward_says_what_it_is(parts: dict[str, float], axis: str) -> None:
    row = {"reward": sum(parts.values()), **{f"rewards/{name}/mean": value for name, value in parts.items()}}
    assert phase_panels([phase(GENERATOR, row)])[0].axis == axis


@pytest.mark.parametrize(
    ("likelihood", "expected"),
    [
        (-30.0, {"Likelihood (generator)": ["likelihood"], "Parts of the reward (generator)": ["form", "length"]}),
        (0.25, {"Parts of the reward (generator)": ["form", "likelihood", "length"]}),
    ],
)
def test_a_log_probability_does_not_share_a_panel_with_the_other_parts(
    likelihood: float, expected: dict[str, list[str]]
) -> None:
    row = {"rewards/form/mean": 0.5, "rewards/likelihood/mean": likelihood, "rewards/length/mean": 0.5}
    panels = phase_panels([phase(GENERATOR, row)])
    assert {panel.title: [curve.label for curve in panel.curves] for panel in panels} == expected


def test_the_note_tells_what_the_names_of_phases_stand_for() -> None:
    again = PhasePlace(0, 2, 1, "generator", "rl")
    note = phases_note([*fold(), phase(again)])
    assert note.startswith(
        "0.1 generator SFT (cold start); k.1 generator RL, k.2 policy SFT, k.3 policy RL (iteration k). "
    )
    assert phases_note(fold()[:1]).startswith("0.1 generator SFT (cold start). ")
    (chart,) = training_charts([PhasedTraining("estimator", "estimator", tuple(fold()))])
    assert chart.title == "Training of estimator, fold 0"
    assert chart.caption.endswith(phases_note(fold()))
    assert phases_note(fold()) in section(fold()).splitlines()


def test_the_table_has_a_row_for_each_phase() -> None:
    assert body(section(fold())) == [
        ["0", "0.1 generator SFT", "2", "loss 4 → 3", "–", "–", "–", "–"],
        ["0", "1.1 generator RL", "3", "reward -30 → -25", "12 → 8", "25 %", "0.75", "0 % (0 of 3)"],
        ["0", "1.2 policy SFT", "1", "loss 2 → 2", "–", "–", "–", "–"],
        ["0", "1.3 policy RL", "2", "reward 0.25 → 0.75", "7 → 7", "–", "–", "50 % (1 of 2)"],
    ]


def test_a_training_without_folds_has_no_column_of_them() -> None:
    assert body(section([phase(PhasePlace(None, 1, 2, "answer", "sft"), *losses(2.0))])) == [
        ["1.2 answer SFT", "1", "loss 2 → 2", "–", "–", "–", "–"]
    ]


@pytest.mark.parametrize(
    ("key", "values", "warning"),
    [
        ("guards/copied_share_max", [0.1, 0.5, 0.2], None),
        ("guards/copied_share_max", [0.1, 0.625, None], "repeats 62.5 % of the golden response's word sequences"),
        ("guards/length_reward_correlation", [0.875, 0.925], None),  # a mean of 0.9
        ("guards/length_reward_correlation", [1.0, None, 0.875], "correlate by 0.9375 (mean of 2 steps)"),
        ("guards/length_reward_correlation", [-1.0, -1.0], None),
        ("frac_reward_zero_std", [1.0, 0.75], None),
        ("frac_reward_zero_std", [1.0, 1.0], "in none of 2 steps did the rewards of a group differ"),
        ("frac_reward_zero_std", [None], None),
    ],
)
def test_a_guard_warns_beyond_its_limit(key: str, values: list[float | None], warning: str | None) -> None:
    found = list(warnings(phase(GENERATOR, *({key: value} for value in values))))
    assert len(found) == (warning is not None)
    assert warning is None or warning in found[0]


def test_a_warning_stands_in_front_of_the_curves_and_names_its_phase() -> None:
    lines = section([phase(GENERATOR, {"guards/copied_share_max": 0.75})]).splitlines()
    (at,) = [number for number, line in enumerate(lines) if line.startswith("**Warning.**")]
    assert lines[at].startswith("**Warning.** fold 0, 1.1 generator RL: a rollout repeats 75 % of")
    assert at < lines.index("![Curves of estimator, fold 0](../figures/training/estimator/fold-0.svg)")
    assert "Warning" not in section(fold())


def test_the_preflight_of_a_phase_is_one_line() -> None:
    facts = {"rows": 4, "longest_tokens": 1203, "notes": ["one note", "another"], "example": {"supervised": "Rye."}}
    text = section([phase(COLD, preflight=facts), phase(GENERATOR)])
    assert [line for line in text.splitlines() if line.startswith("- ")] == [
        "- fold 0, 0.1 generator SFT: 4 rows, longest 1,203 tokens; one note; another"
    ]


def rollout(step: int, reward: float | None) -> dict[str, Any]:
    return {"step": step, "sample_id": "s", "text": f"text {step} {reward}", "reward": reward}


@pytest.mark.parametrize(
    ("rows", "shown"),
    [
        ([(1, 0.3), (1, 0.2), (5, 0.9), (5, 0.0), (9, 0.25), (9, 0.4), (9, None)], ["text 1 0.2", "text 9 0.4"]),
        ([(1, 0.3)], ["text 1 0.3"]),
        ([(1, None), (1, None)], ["text 1 None"]),
    ],
)
def test_of_the_first_and_last_step_the_lowest_and_highest_rewarded_rollouts_are_shown(
    rows: list[tuple[int, float | None]], shown: list[str]
) -> None:
    text = section([phase(GENERATOR, rollouts=[rollout(step, reward) for step, reward in rows])])
    assert [line for line in text.splitlines() if line.startswith("text ")] == shown
    assert [line.split(".** ")[0] for line in text.splitlines() if line.startswith("**fold")] == [
        f"**fold 0, 1.1 generator RL, step {line.split()[1]}" for line in shown
    ]


def test_a_fold_has_a_figure_and_a_training_a_section(tmp_path: Path) -> None:
    specs = {"corl": {"label": "CoRL", "order": 90}, "sft": {"label": "SFT", "order": 20}}
    (tmp_path / "manifest.json").write_text(json.dumps({"methods": specs}))
    for name in ("estimator/fold-10", "estimator/fold-2", "corl"):
        put(tmp_path, name, fold()[2:3])
    (tmp_path / "training/sft").mkdir()
    (tmp_path / "training/sft/training_log.json").write_text(json.dumps([{"loss": 1.0, "step": 1}]))
    written = [path.relative_to(tmp_path).as_posix() for path in write_training_report(tmp_path)]
    figures = [f"figures/training/{name}.svg" for name in ("sft", "corl", "estimator/fold-2", "estimator/fold-10")]
    assert [path for path in written if path.endswith(".svg")] == figures
    lines = (tmp_path / written[-1]).read_text().splitlines()
    assert [line for line in lines if line.startswith("## ")] == ["## SFT", "## CoRL", "## estimator"]
    images = [line.partition("](../")[2].rstrip(")") for line in lines if line.startswith("![")]
    assert images == figures


def test_co_evolution_changes_nothing_of_a_method_with_one_log(tmp_path: Path) -> None:
    files = ("figures/training/sft.svg", "figures/training/sft.png", "training/README.md")
    contents = []
    for run in (tmp_path / "alone", tmp_path / "beside"):
        (run / "training/sft").mkdir(parents=True)
        (run / "training/sft/training_log.json").write_text(json.dumps([{"loss": 1.0, "step": 1}]))
        if run.name == "beside":
            put(run, "tail/fold-0", fold()[2:3])
        write_training_report(run)
        contents.append([(run / name).read_bytes() for name in files])
    assert contents[0][:2] == contents[1][:2]
    assert contents[1][2].startswith(contents[0][2])


def test_a_training_in_which_no_step_was_logged_has_a_table_and_no_figure(tmp_path: Path) -> None:
    put(tmp_path, "corl", [phase(IMITATION)])
    assert write_training_report(tmp_path) == [tmp_path / "training/README.md"]
    text = (tmp_path / "training/README.md").read_text()
    assert "| 1.2 policy SFT |" in text
    assert "![" not in text


def test_the_same_logs_give_the_same_bytes(tmp_path: Path) -> None:
    contents = []
    for run in (tmp_path / "one", tmp_path / "two"):
        put(run, "estimator/fold-0", fold())
        contents.append([path.read_bytes() for path in write_training_report(run)])
    assert len(contents[0]) == 4
    assert contents[0] == contents[1]


def test_a_damaged_log_of_a_phase_is_a_failure_that_names_it(tmp_path: Path) -> None:
    put(tmp_path, "corl", fold())
    (tmp_path / "training/corl/iteration-01/3-policy-rl/training_log.json").write_text("[{")
    with pytest.raises(RunFailure, match=r"iteration-01/3-policy-rl/training_log\.json"):
        write_training_report(tmp_path)
