"""A run killed with SIGKILL goes on when started again and ends in the same files as one left alone.

Kills are aimed: each waits until a stage is named on standard output and strikes at a random moment of its time.
Moments too short for that to meet are made by hand: a full disk, half a file, an end just before the end.
"""

import errno
import json
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from recipe_helpers import write_recipes
from spread_helpers import outcome
from warm_process import WarmProcess

from benchmark import Benchmark, PromptRenderer, RunFailure
from benchmark.progress import Advance, SilentProgress
from recipes.schema import EstimatorRecipe
from recipes.stage_estimator import ESTIMATOR, make_estimator
from rpm_methods.checkpoints import CHECKPOINTS
from rpm_methods.lineage import ADAPTER
from rpm_methods.method import TrainContext
from rpm_methods.sft import SFTSettings, SupervisedFineTuning
from scoring.models.generation import Sampling
from scoring.models.resolver import locate_model

BASE = """kind: method
base_model: {model}
estimator: estimator.yaml
benchmark: {{source: mini, train_samples: 8, test_samples: 3}}
generation: {{max_new_tokens: 16, batch_tokens: 2500}}
scoring: {{batch_tokens: 64, embedding: {embedding}}}
compute: {{device: cpu, dtype: float32, threads: 1}}
"""
TRAINING = "training: {max_steps: 15, learning_rate: 1e-3, save_steps: 3, per_device_train_batch_size: 1}"
ROLLOUTS = "training: {max_steps: 3, learning_rate: 1e-3, save_steps: 1, num_generations: 4}"
PHASES = (
    "max_reasoning_tokens: 8, max_response_tokens: 6, "
    f"reasoning_rl: {{{ROLLOUTS}}}, imitation: {{{TRAINING}}}, response_rl: {{{ROLLOUTS}}}"
)
ESTIMATOR_RECIPE = f"""kind: estimator
estimator: corl
model: MODEL
benchmark: {{source: mini, train_samples: 8}}
fit_on: [german, film]
folds: 2
config: {{template: reasoning_features, iterations: 1, samples: 6, cold_start: {{{TRAINING}}}, {PHASES}}}
"""
METHODS = {
    "icl": "config: {examples: 1}",
    "sft": f"config: {{{TRAINING}}}",
    "dpo": f"config: {{{TRAINING.replace('15', '9')}}}",
    "rft": f"config: {{candidates: 3, {TRAINING}}}",
    "grpo": f"config: {{{ROLLOUTS}}}",
    "thinking_sft": f"config: {{{TRAINING}}}",
    "thinking_rl": f"config: {{{ROLLOUTS}}}",
    "corl": f"config: {{iterations: 1, {PHASES}}}",
}
"""What the recipe of each method says beside its name."""
KILLS = {"policy": 3, "responses": 2, "estimator": 2, "likelihoods": 1, "scores": 1, "bounds": 1}
"""How often each kind of stage is killed; in several of a kind, where it has several."""
Moment = tuple[str, float]
"""A stage, and the seconds to wait from when it is named."""
Event = list[str]
"""What happened to which stage, as the run says it: ["resumed", "policy/sft"]."""
FULL_DEVICE = Path("/dev/full")
Train = Callable[..., Path]


def start(recipes: Path, out: Path) -> WarmProcess:
    return WarmProcess(["compare", str(recipes), "--out", str(out), "--no-report"], recipes)


def finish(recipes: Path, out: Path) -> list[Event]:
    """Run to the end and return what happened."""
    shown, code = start(recipes, out).finish()
    assert code == 0
    return events(shown.splitlines())


def events(lines: list[str]) -> list[Event]:
    words = [line.split()[:2] for line in lines]
    return [event for event in words if event and event[0] in ("started", "resumed", "reused", "finished")]


def draw_moments(seconds: dict[str, float], generator: random.Random) -> list[Moment]:
    """Return the moments of all kills in the order of the plan; `seconds` are the times of its stages."""
    chosen: list[str] = []
    for kind, count in KILLS.items():
        names = [name for name in seconds if name.split("/")[0] == kind]
        generator.shuffle(names)
        chosen += [names[place % len(names)] for place in range(count)]
    ordered = sorted(chosen, key=list(seconds).index)
    # A stage that is struck twice goes on where it was: both waits together are to end before the stage does.
    return [(name, generator.uniform(0.1, 0.8) * seconds[name] / chosen.count(name)) for name in ordered]


def kill(process: WarmProcess, moment: Moment) -> list[Event]:
    """Kill a run at the moment and return what had happened."""
    stage, delay = moment
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.split()[1:2] == [stage]:
            break
    time.sleep(delay)
    assert process.is_running(), f"the run had ended before it could be killed in {stage}"
    process.kill()
    rest, code = process.finish()
    assert code == -signal.SIGKILL
    return events([*lines, *rest.splitlines()])


@pytest.mark.slow
def test_a_run_killed_at_ten_random_moments_ends_in_the_same_files(
    tmp_path: Path, tiny_model: Path, tiny_embedding: Path
) -> None:
    straight, killed = (tmp_path / name for name in ("straight", "killed"))
    base = BASE.format(model=tiny_model, embedding=tiny_embedding)
    recipes = write_recipes(tmp_path / "recipes", base, METHODS, ESTIMATOR_RECIPE.replace("MODEL", str(tiny_model)))
    finish(recipes, straight)
    stages = json.loads((straight / "manifest.json").read_text())["stages"]
    moments = draw_moments({stage["name"]: stage["seconds"] for stage in stages}, random.Random(0))
    assert len(moments) == 10
    runs = [kill(start(recipes, killed), moment) for moment in moments]
    struck = [stage for word, stage in (run[-1] for run in runs) if word in ("started", "resumed")]
    assert len({stage.split("/")[0] for stage in struck}) >= 4, struck
    runs.append(finish(recipes, killed))
    assert len({stage for run in runs for word, stage in run if word == "resumed"}) >= 3, runs
    made = outcome(straight)
    assert len(made) >= 9 + len(METHODS)
    assert outcome(killed) == made


@pytest.fixture
def train(tiny_model: Path, mini: Benchmark, renderer: PromptRenderer, tmp_path: Path) -> Train:
    """Return a function that trains by SFT, two steps an epoch with a checkpoint each, in a folder by name."""

    def train(name: str, max_steps: int, steps: list[int] | None = None) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        base, progress = locate_model(str(tiny_model)), _Recording([] if steps is None else steps)
        samples, sampling = mini.train[:4], Sampling(8)
        context = TrainContext(base, "float32", "cpu", samples, renderer, sampling, 1, folder, progress=progress)
        training = {"save_steps": 1, "per_device_train_batch_size": 2, "learning_rate": 1e-2}
        SupervisedFineTuning().train(SFTSettings(training={**training, "max_steps": max_steps}), context)
        return folder

    return train


class _Recording(SilentProgress):
    """Keeps the training steps that are said to be done; those of an earlier run come with the first."""

    def __init__(self, steps: list[int]) -> None:
        self.steps = steps

    @contextmanager
    def task(self, title: str, total: int, *, alike: bool = True) -> Iterator[Advance]:
        def advance(units: int = 1) -> None:
            if title == "training steps":
                self.steps.append(units)

        yield advance


def interrupt(*arguments: object, **named: object) -> None:
    raise KeyboardInterrupt


def losses(folder: Path) -> list[float]:
    return [row["loss"] for row in json.loads((folder / "training_log.json").read_text()) if "loss" in row]


def adapter(folder: Path) -> bytes:
    return (folder / ADAPTER / "adapter_model.safetensors").read_bytes()


@pytest.mark.skipif(not FULL_DEVICE.is_char_device(), reason="there is no device that is always full")
def test_a_full_disk_at_the_second_checkpoint_leaves_the_first_to_go_on_from(train: Train, tmp_path: Path) -> None:
    optimizer = tmp_path / "cut" / CHECKPOINTS / "checkpoint-2" / "optimizer.pt"
    optimizer.parent.mkdir(parents=True)
    optimizer.symlink_to(FULL_DEVICE)
    with pytest.raises(RunFailure, match="no disk space left"):
        train("cut", 4)
    optimizer.unlink()
    goes_on_from_the_first_checkpoint(train)


def test_a_checkpoint_whose_last_file_is_cut_is_passed_over_for_the_one_before(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import TrainerState

    save = TrainerState.save_to_json

    def half(state: TrainerState, path: str) -> None:
        save(state, path)
        if state.global_step == 2:
            Path(path).write_bytes(Path(path).read_bytes()[:100])
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(TrainerState, "save_to_json", half)
        with pytest.raises(RunFailure, match="no disk space left"):
            train("cut", 4)
    goes_on_from_the_first_checkpoint(train)


def goes_on_from_the_first_checkpoint(train: Train) -> None:
    steps: list[int] = []
    straight = train("straight", 4)
    went_on = train("cut", 4, steps)
    assert steps == [2, 1, 1]
    assert losses(went_on) == losses(straight)
    assert adapter(went_on) == adapter(straight)


@pytest.mark.parametrize("max_steps", [3, 4])
def test_a_kill_between_the_last_step_and_the_adapter_adds_no_step(
    train: Train, monkeypatch: pytest.MonkeyPatch, max_steps: int
) -> None:
    straight = train("straight", max_steps)
    with monkeypatch.context() as patch:
        patch.setattr("rpm_methods.adapter_training._save", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train("cut", max_steps)
    steps: list[int] = []
    went_on = train("cut", max_steps, steps)
    assert steps == [max_steps]
    assert losses(went_on) == losses(straight)
    assert adapter(went_on) == adapter(straight)


def test_a_kill_while_checkpoints_are_removed_leaves_none_that_looks_whole(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = train("straight", 3)
    remove = shutil.rmtree

    def half(path: Path | str, ignore_errors: bool = False) -> None:
        if Path(path).name != CHECKPOINTS:
            return remove(path, ignore_errors=ignore_errors)
        for weights in Path(path).glob("checkpoint-*/adapter_model.safetensors"):
            weights.unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", half)
        with pytest.raises(KeyboardInterrupt):
            train("cut", 3)
    assert list((straight.parent / "cut" / CHECKPOINTS).glob("checkpoint-*"))
    assert adapter(train("cut", 3)) == adapter(straight)


def test_an_estimator_of_which_a_kill_left_a_part_is_made_anew(tiny_model: Path, tmp_path: Path) -> None:
    recipe = EstimatorRecipe(kind="estimator", estimator="base", model=str(tiny_model))
    make_estimator(recipe, None, tmp_path / "straight")
    make_estimator(recipe, None, tmp_path / "cut")
    (tmp_path / "cut" / ESTIMATOR / "estimator.json").unlink()
    make_estimator(recipe, None, tmp_path / "cut")
    made = [path for path in (tmp_path / "straight").rglob("*") if path.is_file()]
    assert len(made) == 2
    for path in made:
        assert (tmp_path / "cut" / path.relative_to(tmp_path / "straight")).read_bytes() == path.read_bytes()
