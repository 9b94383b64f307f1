"""Quantised weights are a setting of `compute`: refused before anything runs where they cannot be, and in the keys."""

import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from benchmark import UserMistakes
from recipes import environment
from recipes.cli import main
from recipes.comparison import prepare_comparison
from recipes.environment import Compute, settle_compute, stage_key
from recipes.estimator_run import prepare_training
from recipes.schema import ComputeSettings
from scoring.estimator import EstimatorDescription
from scoring.models import quantization
from scoring.models.quantization import why_not_quantized

no_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")


@pytest.fixture
def able(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this machine pass for one with a GPU and bitsandbytes."""
    monkeypatch.setattr(environment, "why_not_quantized", lambda device: None)
    monkeypatch.setattr(environment, "default_device", lambda: "cuda")


def said(caught: pytest.ExceptionInfo[UserMistakes]) -> list[str]:
    return [str(mistake) for mistake in caught.value.mistakes]


@no_cuda
def test_without_a_gpu_the_mistake_says_so_before_anything_runs() -> None:
    with pytest.raises(UserMistakes) as caught:
        prepare_comparison(["demo/sft", "demo/grpo"], ["compute.quantization=4bit"])
    (mistake,) = said(caught)
    assert (
        "sft.yaml: compute.quantization: quantised weights need a CUDA device, and there is no CUDA device here"
        in mistake
    )


@no_cuda
def test_estimators_and_scoring_are_refused_alike() -> None:
    with pytest.raises(
        UserMistakes, match=r"estimator recipe: compute.quantization: quantised weights need a CUDA dev"
    ):
        prepare_training("demo/estimator", ["compute.quantization=8bit"])
    with pytest.raises(UserMistakes, match=r"compute.quantization: quantised weights need a CUDA device"):
        settle_compute(ComputeSettings(quantization="8bit"))


@no_cuda
def test_the_command_line_ends_with_2_and_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["run", "demo/sft", "--set", "compute.quantization=4bit", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["rpm-methods", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    sentence, count = capsys.readouterr().err.splitlines()
    assert sentence.endswith("there is no CUDA device here; set compute.quantization: none, or run where there is one")
    assert count == "1 mistake to correct."
    assert not out.exists()


def test_a_cpu_chosen_by_hand_cannot_hold_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert why_not_quantized("cpu") is not None
    assert "compute.device is cpu" in str(why_not_quantized("cpu"))


@pytest.mark.parametrize(("found", "words"), [(None, "which is not installed"), ("0.44.1", "0.44.1 is too old")])
def test_a_gpu_without_a_recent_bitsandbytes_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch, found: str | None, words: str
) -> None:
    def version(name: str) -> str:
        if found is None:
            raise quantization.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(quantization, "version", version)
    problem, remedy = why_not_quantized("cuda") or ("", "")
    assert words in problem
    assert remedy == 'pip install "rpm-methods[quantization]"'


@pytest.mark.parametrize("found", ["0.49.0", "0.50.2", "1.0"])
def test_recent_versions_are_taken(monkeypatch: pytest.MonkeyPatch, found: str) -> None:
    monkeypatch.setattr(quantization, "version", lambda name: found)
    assert why_not_quantized("cuda") is None


def test_quantised_weights_do_not_compute_in_float32() -> None:
    with pytest.raises(ValidationError, match="quantised weights compute in bfloat16"):
        ComputeSettings(quantization="4bit", dtype="float32")


def test_keys_without_quantisation_are_made_of_the_same_as_ever() -> None:
    settled = settle_compute(ComputeSettings(device="cpu", dtype="float32", threads=torch.get_num_threads()))
    assert asdict(settled) == {"device": "cpu", "dtype": "float32", "threads": torch.get_num_threads()}


@pytest.mark.usefixtures("able")
def test_the_format_of_the_weights_stands_for_the_quantisation_in_keys_and_manifests() -> None:
    threads = torch.get_num_threads()
    settled = [settle_compute(ComputeSettings(quantization=q, threads=threads)) for q in ("8bit", "4bit")]
    assert settled == [Compute("cuda", "8bit", threads), Compute("cuda", "4bit", threads)]
    keys = {stage_key("policy", ["sft"], 1, compute) for compute in (*settled, Compute("cuda", "bfloat16", threads))}
    assert len(keys) == 3
    assert "bitsandbytes" in environment.package_versions(settled[0])
    assert "bitsandbytes" not in environment.package_versions(Compute("cuda", "bfloat16", threads))


@pytest.mark.usefixtures("able")
def test_rewards_in_float32_on_eight_bit_weights_in_training_are_refused() -> None:
    with pytest.raises(UserMistakes) as caught:
        prepare_comparison(["demo/corl"], ["compute.quantization=8bit", "config.reward_precision=float32"])
    assert any("corl.yaml: config.reward_precision: is float32" in mistake for mistake in said(caught))
    with pytest.raises(UserMistakes, match=r"estimator recipe: config.reward_precision"):
        prepare_training("demo/estimator", ["compute.quantization=8bit", "config.reward_precision=float32"])
    prepare_training("demo/estimator", ["compute.quantization=4bit", "config.reward_precision=float32"])


def test_an_estimator_says_what_it_was_trained_in_only_where_that_was_quantised() -> None:
    plain = EstimatorDescription("corl", "m", "f", reasoning=True).plain()
    assert "quantization" not in plain
    assert EstimatorDescription("corl", "m", "f", reasoning=True, quantization="4bit").plain()["quantization"] == "4bit"
