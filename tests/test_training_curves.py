"""The curves are those of the log, gaps where it has null; the page tells what was trained and what came of it."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.image import imread

from benchmark.errors import RunFailure
from reports.training.charts import training_charts
from reports.training.log import build_panels
from reports.training.markdown import LONGEST_TEXT
from reports.training.page import as_markdown, write_training_report
from reports.training.panels import FEW_STEPS
from reports.training.trained_method import TrainedMethod

PREFLIGHT: dict[str, Any] = {
    "rows": 16,
    "does_not_fit": [],
    "longest_tokens": 1203,
    "median_tokens": 700.5,
    "ends_supervised": None,
    "end_token": "<|im_end|>",
    "start_adapters": [f"a{i}" for i in range(7)],
    "longest_batch": {"rows": 4, "tokens": 4812, "seconds": 1.25},
    "notes": ["The median row is short."],
}
EXAMPLE = {"sample_id": "IDTrain-3", "prompt_end": "<Agent Response>", "supervised": "Rye.<|im_end|>"}


def sft_log(steps: int = 2) -> list[dict[str, Any]]:
    rows = [{"loss": 9.0 / step, "grad_norm": 1.5, "learning_rate": 1e-4 / step, "step": step} for step in _to(steps)]
    return [*rows, {"train_runtime": 0.5, "train_loss": 6.75, "epoch": 2.0, "step": steps}]


def dpo_log() -> list[dict[str, Any]]:
    pairs = {"rewards/chosen": 4.25, "rewards/rejected": -1.75, "rewards/margins": 6.0, "rewards/accuracies": 0.75}
    return [{"loss": 0.7, **dict.fromkeys(pairs, 0.0), "step": 1}, {"loss": 0.1, **pairs, "step": 2}]


def grpo_log(steps: int = 2) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    rows = []
    for step in _to(steps):
        form, likelihood, share = (float(value) for value in rng.random(3))
        rows.append(
            {
                "loss": 0.0,
                "rewards/format/mean": form,
                "rewards/format/std": 0.1,
                "rewards/likelihood/mean": likelihood,
                "rewards/likelihood/std": 0.1,
                "reward": form + likelihood,
                "reward_std": 0.25,
                "frac_reward_zero_std": share,
                "completions/mean_length": 40.0 + step,
                "completions/clipped_share": share / 2,
                "completions/malformed_share": None,
                "entropy": 1.0,
                "clip_ratio/region_mean": 0.002,
                "step_time": 3.0,
                "step": step,
            }
        )
    return [*rows, {"train_runtime": 12.5, "train_loss": 0.0, "step": steps}]


def rollout(step: int, reward: float | None, text: str, **changes: object) -> dict[str, Any]:
    row = {"step": step, "sample_id": "IDTrain-7", "text": text, "reward": reward, "parts": {"format": 0.5}}
    return {**row, "advantage": -1.5, "finish_reason": "stop", "malformed": False, **changes}


def put(run: Path, name: str, log: list[dict[str, Any]], **others: object) -> None:
    folder = run / "training" / name
    folder.mkdir(parents=True)
    (folder / "training_log.json").write_text(json.dumps(log))
    if "preflight" in others:
        (folder / "preflight.json").write_text(json.dumps(others["preflight"]))
    if "rollouts" in others:
        lines = [json.dumps(row) + "\n" for row in others["rollouts"]]  # type: ignore[attr-defined]
        (folder / "rollouts.jsonl").write_text("".join(lines))


def panels_drawn(log: list[dict[str, Any]]) -> dict[str, Axes]:
    (chart,) = training_charts([TrainedMethod("m", "M", tuple(build_panels(log)))])
    figure = chart.figure
    return {axes.get_title(loc="left"): axes for axes in figure.axes}


def page(log: list[dict[str, Any]], **others: Any) -> str:  # noqa: ANN401
    return as_markdown([TrainedMethod("m", "M", tuple(build_panels(log)), **others)])


def _to(steps: int) -> range:
    return range(1, steps + 1)


@pytest.mark.parametrize(
    ("log", "titles"),
    [
        (sft_log(), ["Loss", "Gradient norm", "Learning rate"]),
        (dpo_log(), ["Loss", "Implicit rewards", "Pairs ranked rightly"]),
        (
            grpo_log(),
            [
                "Policy-gradient loss",
                "Reward",
                "Parts of the reward",
                "Groups without spread",
                "Mean length",
                "Rollouts cut or malformed",
                "Entropy",
                "Tokens with a clipped ratio",
            ],
        ),
    ],
)
def test_panels_are_those_that_the_log_has_values_for(log: list[dict[str, Any]], titles: list[str]) -> None:
    assert list(panels_drawn(log)) == titles


@pytest.mark.parametrize(
    ("title", "line", "key", "factor"),
    [
        ("Policy-gradient loss", 0, "loss", 1),
        ("Reward", 0, "reward", 1),
        ("Parts of the reward", 0, "rewards/format/mean", 1),
        ("Parts of the reward", 1, "rewards/likelihood/mean", 1),
        ("Groups without spread", 0, "frac_reward_zero_std", 100),
        ("Mean length", 0, "completions/mean_length", 1),
        ("Rollouts cut or malformed", 0, "completions/clipped_share", 100),
        ("Tokens with a clipped ratio", 0, "clip_ratio/region_mean", 100),
    ],
)
@pytest.mark.parametrize("steps", [1, 2, 200])
def test_lines_hold_the_values_of_the_log(title: str, line: int, key: str, factor: float, steps: int) -> None:
    log = grpo_log(steps)
    drawn = panels_drawn(log)[title].get_lines()[line]
    assert np.array_equal(drawn.get_xdata(), _to(steps))
    assert np.array_equal(drawn.get_ydata(), [factor * row[key] for row in log[:-1]])


def test_preferences_are_drawn_with_their_names() -> None:
    axes = panels_drawn(dpo_log())["Implicit rewards"]
    lines, legend = axes.get_lines(), axes.get_legend()
    assert {line.get_label(): list(line.get_ydata()) for line in lines} == {  # type: ignore[arg-type]
        "chosen": [0.0, 4.25],
        "rejected": [0.0, -1.75],
        "margin": [0.0, 6.0],
    }
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["chosen", "rejected", "margin"]


def test_null_is_a_gap_and_a_row_without_the_value_no_point() -> None:
    log: list[dict[str, Any]] = [
        {"loss": 1.0, "kl": 0.5, "step": 1},
        {"loss": None, "step": 2},
        {"loss": 3.0, "step": 3},
    ]
    drawn = panels_drawn(log)
    (loss,), (kl,) = drawn["Loss"].get_lines(), drawn["Divergence from the reference model"].get_lines()
    assert np.array_equal(loss.get_ydata(), [1.0, math.nan, 3.0], equal_nan=True)
    assert list(kl.get_xdata()) == [1]  # type: ignore[arg-type]


def test_a_value_that_is_always_null_has_no_panel_and_no_line() -> None:
    assert build_panels([{"loss": None, "step": 1}]) == []
    assert len(panels_drawn(grpo_log())["Rollouts cut or malformed"].get_lines()) == 1


def test_the_band_reaches_one_standard_deviation_to_both_sides() -> None:
    log = [{"reward": 1.0, "reward_std": 0.25, "step": 1}, {"reward": 2.0, "reward_std": 0.5, "step": 2}]
    (band,) = panels_drawn(log)["Reward"].collections[:1]
    corners = {tuple(corner) for corner in np.asarray(band.get_paths()[0].vertices).tolist()}
    assert corners == {(1, 0.75), (1, 1.25), (2, 1.5), (2, 2.5)}


def test_a_reward_alone_between_gaps_has_its_spread_and_marker_too() -> None:
    log: list[dict[str, Any]] = [{"reward": 1.0, "reward_std": 0.5, "step": step} for step in _to(2 * FEW_STEPS)]
    log[3]["reward"] = log[5]["reward"] = None
    axes = panels_drawn(log)["Reward"]
    spokes = axes.collections[1].get_segments()  # type: ignore[attr-defined]
    assert [segment.tolist() for segment in spokes] == [[[5.0, 0.5], [5.0, 1.5]]]
    assert axes.get_lines()[0].get_markevery() == [4]


@pytest.mark.parametrize(("steps", "markers"), [(1, 1), (2, 2), (FEW_STEPS, FEW_STEPS), (FEW_STEPS + 1, 0)])
def test_each_point_is_marked_while_there_are_few(steps: int, markers: int) -> None:
    (line,) = panels_drawn(sft_log(steps))["Loss"].get_lines()
    assert len(line.get_markevery()) == markers  # type: ignore[arg-type]
    assert line.get_marker() == "o"


def test_curves_of_a_panel_differ_without_colour() -> None:
    log = [{**{f"rewards/r{i}/mean": float(i) for i in range(6)}, "step": step} for step in _to(200)]
    lines = panels_drawn(log)["Parts of the reward"].get_lines()
    assert len({(line.get_linestyle(), line.get_marker()) for line in lines}) == 6
    assert all(line.get_markevery() for line in lines)


def test_every_axis_says_what_it_shows_and_in_which_unit() -> None:
    for axes in [*panels_drawn(grpo_log()).values(), *panels_drawn(dpo_log()).values()]:
        assert axes.get_xlabel() == "step"
        assert axes.get_ylabel().endswith(")")
    labels = [panels_drawn(log)[title].get_ylabel() for log, title in ((sft_log(), "Loss"), (dpo_log(), "Loss"))]
    assert labels == ["loss (nats a token)", "loss (mean of pairs)"]


@pytest.mark.parametrize("steps", [1, 2])
def test_steps_are_whole_numbers_on_the_axis(steps: int) -> None:
    axes = panels_drawn(sft_log(steps))["Loss"]
    low, high = axes.get_xlim()
    assert [tick for tick in axes.get_xticks() if low <= tick <= high] == list(_to(steps))


@pytest.mark.parametrize("log", [sft_log(), dpo_log(), grpo_log()])
def test_the_numbers_of_a_figure_are_those_that_it_draws(log: list[dict[str, Any]]) -> None:
    (chart,) = training_charts([TrainedMethod("m", "M", tuple(build_panels(log)))])
    assert (chart.name, chart.sources) == ("training/m", ("training/m/training_log.json",))
    drawn = [
        (axes.get_title(loc="left"), x, y)
        for axes in chart.figure.axes
        for line in axes.get_lines()
        for x, y in zip(*line.get_data(), strict=True)
        if not math.isnan(y)
    ]
    stored = [(row["panel"], row["step"], row["value"]) for row in chart.data if row["value"] is not None]
    assert stored
    assert sorted(stored) == sorted(drawn)


def test_a_run_without_training_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "scores").mkdir()
    assert write_training_report(tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == ["scores"]


def test_a_damaged_log_is_a_failure_that_names_it(tmp_path: Path) -> None:
    put(tmp_path, "sft", sft_log())
    (tmp_path / "training/sft/training_log.json").write_text("[{")
    with pytest.raises(RunFailure, match=r"training/sft/training_log\.json"):
        write_training_report(tmp_path)


def test_methods_stand_in_the_order_of_their_specs_with_their_labels(tmp_path: Path) -> None:
    for name in ("other", "dpo", "sft"):
        put(tmp_path, name, sft_log())
    specs = {"sft": {"label": "SFT", "order": 20}, "dpo": {"label": "DPO", "order": 40}}
    (tmp_path / "manifest.json").write_text(json.dumps({"methods": specs}))
    written = [path.relative_to(tmp_path).as_posix() for path in write_training_report(tmp_path)]
    endings = ("svg", "png", "csv")
    figures = [f"figures/training/{name}.{ending}" for name in ("sft", "dpo", "other") for ending in endings]
    assert written == [*figures, "training/README.md"]
    lines = (tmp_path / "training/README.md").read_text().splitlines()
    assert [line for line in lines if line.startswith("## ")] == ["## SFT", "## DPO", "## other"]
    assert "![Curves of dpo](../figures/training/dpo.svg)" in lines


def test_base_models_have_folders_of_their_own(tmp_path: Path) -> None:
    put(tmp_path, "Qwen_Qwen3-0.6B/sft", sft_log())
    written = write_training_report(tmp_path)
    assert written[0] == tmp_path / "figures/training/Qwen_Qwen3-0.6B/sft.svg"
    assert "## sft on Qwen_Qwen3-0.6B" in written[-1].read_text()


def test_the_same_log_gives_the_same_bytes_and_a_picture(tmp_path: Path) -> None:
    contents = []
    for run in (tmp_path / "one", tmp_path / "two"):
        put(run, "grpo", grpo_log(), preflight=PREFLIGHT, rollouts=[rollout(1, 0.5, "Rye.")])
        contents.append([path.read_bytes() for path in write_training_report(run)])
    assert contents[0] == contents[1]
    assert b"dc:date" not in contents[0][0]
    picture = imread(tmp_path / "one/figures/training/grpo.png")
    assert picture.shape[1] == 1260
    assert picture[..., :3].min() < 0.1


def test_a_log_without_steps_has_a_section_and_no_figure(tmp_path: Path) -> None:
    put(tmp_path, "sft", [])
    assert write_training_report(tmp_path) == [tmp_path / "training/README.md"]
    assert "No step was logged." in (tmp_path / "training/README.md").read_text()


def test_the_page_has_first_and_last_values_and_a_dash_for_null() -> None:
    log: list[dict[str, Any]] = [{"loss": 9.0, "entropy": 1.0, "step": 1}, {"loss": 4.5, "entropy": None, "step": 2}]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page(log).splitlines() if "step 1" in line]
    assert cells == [
        ["loss", "loss (nats a token)", "9 (step 1)", "4.5 (step 2)"],
        ["entropy", "entropy (nats a token)", "1 (step 1)", "– (step 2)"],
    ]


def test_the_summary_is_the_last_row_of_a_training_that_ended(tmp_path: Path) -> None:
    put(tmp_path, "sft", sft_log())
    put(tmp_path, "cut", sft_log()[:-1])
    text = write_training_report(tmp_path)[-1].read_text()
    assert text.count("Whole training") == 1
    assert "Whole training: steps 2, epochs 2, mean loss 6.75, seconds since the last start 0.5." in text


def test_preflight_facts_stand_in_a_table() -> None:
    lines = page(sft_log(), preflight=PREFLIGHT).replace(r"\|", "¦").splitlines()
    facts = dict([cell.strip() for cell in line.split("|")[1:3]] for line in lines if line.startswith("|"))
    assert {key: facts[key] for key in list(facts)[-8:]} == {
        "Rows": "16",
        "Does not fit": "none",
        "Longest tokens": "1,203",
        "Median tokens": "700.5",
        "Ends supervised": "–",
        "End token": "`<¦im_end¦>`",
        "Start adapters": "7: `a0`, `a1`, `a2`, `a3`, `a4` … (2 more)",
        "Longest batch": "4 rows, 4,812 tokens, 1.25 seconds",
    }
    assert "- The median row is short." in lines


@pytest.mark.parametrize("preflight", [{"examples": [EXAMPLE, {**EXAMPLE, "supervised": "No."}]}, {"example": EXAMPLE}])
def test_one_example_is_shown_as_the_model_sees_it(preflight: dict[str, Any]) -> None:
    text = page(sft_log(), preflight=preflight)
    assert "decoded (sample `IDTrain-3`)" in text
    assert "End of the prompt:\n\n```text\n<Agent Response>\n```" in text
    assert "Supervised:\n\n```text\nRye.<|im_end|>\n```" in text
    assert "No." not in text


def test_rollouts_of_the_first_and_last_step_show_lowest_middle_and_highest_reward() -> None:
    rewards: list[float | None] = [0.3, 0.1, None, 0.2, 0.0, 0.4]
    rows = [rollout(step, reward, f"s{step} r{reward}") for step in (1, 2, 3) for reward in rewards]
    text = page(grpo_log(), rollouts=rows)
    shown = [line for line in text.splitlines() if line.startswith(("s1", "s2", "s3", "###"))]
    assert shown == [
        "### Rollouts at step 1",
        *("s1 r0.0", "s1 r0.2", "s1 r0.4"),
        "### Rollouts at step 3",
        *("s3 r0.0", "s3 r0.2", "s3 r0.4"),
    ]
    assert text.count("6 rollouts, 1 without a reward; lowest, middle and highest reward:") == 2


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_rollouts_are_all_shown_once(count: int) -> None:
    text = page(grpo_log(), rollouts=[rollout(4, 0.5, f"text {i}") for i in range(count)])
    assert [text.count(f"text {i}\n") for i in range(count)] == [1] * count
    assert text.count("### Rollouts") == 1


def test_a_rollout_comes_with_its_reward_and_what_is_wrong_with_it() -> None:
    rows = [rollout(1, None, "a", malformed=True, finish_reason="length")]
    assert "Sample `IDTrain-7`: reward – (format 0.5), advantage -1.5, ended by length, malformed." in page(
        grpo_log(), rollouts=rows
    )


@pytest.mark.parametrize("more", [0, 1, 250])
def test_a_long_text_is_cut_visibly(more: int) -> None:
    text = page(grpo_log(), rollouts=[rollout(1, 0.5, "é" * (LONGEST_TEXT + more))])
    end = f"… ({more} more characters)" if more else ""
    assert f"```text\n{'é' * LONGEST_TEXT}{end}\n```" in text


def test_a_text_cannot_close_its_fence() -> None:
    assert "\n`````text\na\n````\nb\n`````\n" in page(grpo_log(), rollouts=[rollout(1, 0.5, "a\n````\nb")])
