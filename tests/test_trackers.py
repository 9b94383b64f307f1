"""`report_to` reaches its tracker: TensorBoard's files lie beside the policy and hold what was logged."""

import os
from pathlib import Path

import pytest

from benchmark import Benchmark, PromptRenderer
from benchmark.run_store import read_json
from rpm_methods.arguments import AdapterSettings, check_trackers
from rpm_methods.method import TrainContext
from rpm_methods.sft import SFTSettings, SupervisedFineTuning
from rpm_methods.trackers import VARIABLE, tracked_in
from scoring.models.generation import Sampling
from scoring.models.resolver import locate_model

TRAINING = {"max_steps": 2, "learning_rate": 1e-2, "per_device_train_batch_size": 2, "report_to": ["tensorboard"]}


def test_tensorboard_holds_the_losses_of_the_training_log(
    tiny_model: Path, mini: Benchmark, renderer: PromptRenderer, tmp_path: Path
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    base = locate_model(str(tiny_model))
    context = TrainContext(base, "float32", "cpu", mini.train[:4], renderer, Sampling(6), 3, tmp_path)
    SupervisedFineTuning().train(SFTSettings(training=TRAINING), context)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    written = {event.step: event.value for event in events.Scalars("train/loss")}
    logged = {row["step"]: row["loss"] for row in read_json(tmp_path / "training_log.json") if "loss" in row}
    assert written == pytest.approx(logged, rel=1e-6)
    assert len(written) == 2
    assert VARIABLE not in os.environ


def test_the_users_own_folder_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "elsewhere")
    with tracked_in(tmp_path):
        assert os.environ[VARIABLE] == "elsewhere"
    assert os.environ[VARIABLE] == "elsewhere"


def test_a_tracker_that_is_not_installed_is_refused_before_anything_runs() -> None:
    check_trackers(None)
    check_trackers("none")
    check_trackers(["tensorboard"])
    with pytest.raises(ValueError, match="report_to names nowhere, which is not installed"):
        AdapterSettings.model_validate({"training": {"report_to": ["nowhere"]}})
