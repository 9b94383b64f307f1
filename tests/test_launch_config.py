"""What `--launch` may name, and what is said of a configuration that cannot be launched, before anything runs."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from benchmark import UserMistakes
from recipes import launch_config
from recipes.environment import Compute
from recipes.execution import Execution, check_execution
from recipes.finding import bundled_launches, bundled_recipes, find_recipes
from recipes.launch import launch_of_estimator
from recipes.launch_config import ONE_DEVICE, Devices, read_launch

TWO: dict[str, Any] = {"distributed_type": "MULTI_CPU", "num_processes": 2, "use_cpu": True}
GPUS: dict[str, Any] = {"distributed_type": "MULTI_GPU", "num_processes": 2}
FSDP: dict[str, Any] = {
    "distributed_type": "FSDP",
    "num_processes": 2,
    "fsdp_config": {"fsdp_version": 2, "fsdp_cpu_ram_efficient_loading": False},
}
ZERO3: dict[str, Any] = {
    "distributed_type": "DEEPSPEED",
    "num_processes": 2,
    "deepspeed_config": {"zero_stage": 3, "zero3_init_flag": False, "zero3_save_16bit_model": True},
}
BUNDLED = {
    "ddp": Devices(8),
    "ddp_cpu2": Devices(2),
    "fsdp": Devices(8, "fsdp"),
    "deepspeed_zero2": Devices(8, "zero2"),
    "deepspeed_zero3": Devices(8, "zero3"),
}


@pytest.fixture
def eight_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take eight GPUs and DeepSpeed for there."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    monkeypatch.setattr(launch_config, "find_spec", lambda name: name)


@pytest.fixture
def no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(launch_config, "find_spec", lambda name: None)


def write(folder: Path, content: object) -> Path:
    path = folder / "config.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def mistakes(folder: Path, content: object) -> str:
    with pytest.raises(UserMistakes) as caught:
        read_launch(write(folder, content))
    return str(caught.value)


@pytest.mark.usefixtures("eight_gpus")
def test_the_bundled_configurations_are_found_by_name_and_can_be_launched() -> None:
    assert {name: read_launch(Path(name)).devices for name in bundled_launches()} == BUNDLED
    assert [name for name in BUNDLED if read_launch(Path(name)).on_processors] == ["ddp_cpu2"]


def test_no_configuration_is_taken_for_a_recipe() -> None:
    assert not any(name.startswith("accelerate") for name in bundled_recipes())
    for name in ("accelerate", "accelerate/ddp"):
        with pytest.raises(UserMistakes, match="no such recipe"):
            find_recipes([name])


def test_a_name_that_leads_nowhere_gets_the_nearest() -> None:
    with pytest.raises(UserMistakes, match=r"--launch ddp_cpu: is neither a file nor .*; did you mean 'ddp_cpu2'\?"):
        read_launch(Path("ddp_cpu"))


@pytest.mark.parametrize("content", ["a: [", "just words", "- a\n- b\n"])
def test_a_file_that_holds_no_configuration_is_said_to(tmp_path: Path, content: str) -> None:
    assert str(tmp_path / "config.yaml") in mistakes(tmp_path, content)


@pytest.mark.usefixtures("no_gpus")
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"num_processes": 2}, "distributed_type: None is not supported"),
        (TWO | {"distributed_type": "MULTI_CPUS"}, "MULTI_CPUS is not supported; did you mean 'MULTI_CPU'?"),
        (TWO | {"distributed_type": "MEGATRON_LM"}, "MEGATRON_LM is not supported"),
        (TWO | {"num_machines": 2}, "num_machines: is not 1: the processes of a training run on one machine"),
        (TWO | {"compute_environment": "AMAZON_SAGEMAKER"}, "only LOCAL_MACHINE is supported"),
        (TWO | {"mixed_precision": "bf16"}, "mixed_precision: is bf16, and compute.dtype of the recipe says"),
        (TWO | {"mixed_precision": False}, "mixed_precision: is False"),
        (TWO | {"dynamo_config": {"dynamo_backend": "INDUCTOR"}}, "dynamo_config: is not supported"),
        (TWO | {"parallelism_config": {"parallelism_config_tp_size": 2}}, "parallelism_config: is not supported"),
        (TWO | {"num_processes": 0}, "num_processes: must be a whole number from 1 on, not 0"),
        (TWO | {"num_processes": "two"}, "must be a whole number from 1 on, not two"),
        ({"distributed_type": "NO", "num_processes": 2}, "num_processes: must be 1 with distributed_type NO"),
        (TWO | {"num_proceses": 2}, "unknown keys (['num_proceses'])"),
        (GPUS, "num_processes: is 2, each of which needs a GPU, and there are 0"),
        (GPUS | {"use_cpu": True}, "use_cpu: is true, and MULTI_GPU trains on GPUs"),
        (ZERO3, 'distributed_type: DeepSpeed is not installed; pip install "rpm-methods[deepspeed]"'),
    ],
)
def test_what_cannot_be_launched_is_said_with_its_key(tmp_path: Path, content: dict[str, Any], said: str) -> None:
    assert said in mistakes(tmp_path, content)


@pytest.mark.usefixtures("eight_gpus")
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (GPUS | {"num_processes": 9}, "num_processes: is 9, each of which needs a GPU, and there are 8"),
        (GPUS | {"gpu_ids": "3"}, "num_processes: is 2, each of which needs a GPU, and there are 1"),
        (GPUS | {"gpu_ids": "0, 8"}, "gpu_ids: names 8, and there are 8 GPUs here"),
        (FSDP | {"fsdp_config": {"fsdp_version": 2}}, "fsdp_config.fsdp_cpu_ram_efficient_loading: must be false"),
        (FSDP | {"fsdp_config": {}}, "fsdp_config.fsdp_version: must be 2"),
        (ZERO3 | {"deepspeed_config": {"zero_stage": 0}}, "deepspeed_config.zero_stage: is 0; take 1, 2 or 3"),
        (ZERO3 | {"deepspeed_config": {"zero_stage": 3}}, "deepspeed_config.zero3_init_flag: must be false"),
        (ZERO3 | {"deepspeed_config": {"deepspeed_config_file": "a.json"}}, "deepspeed_config_file: is not supported"),
        (
            ZERO3 | {"deepspeed_config": {"zero_stage": 2, "gradient_accumulation_steps": 4}},
            "deepspeed_config.gradient_accumulation_steps: is 4, and the recipe's config.training decides it",
        ),
    ],
)
def test_what_the_gpus_or_a_sharding_would_not_do_is_said_with_its_key(
    tmp_path: Path, content: dict[str, Any], said: str
) -> None:
    assert said in mistakes(tmp_path, content)


@pytest.mark.usefixtures("no_gpus")
def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    said = mistakes(tmp_path, GPUS | {"num_machines": 2, "mixed_precision": "fp16", "use_cpu": True})
    assert len(said.splitlines()) == 4


def test_the_command_line_refuses_before_recipes_are_read() -> None:
    with pytest.raises(UserMistakes, match="--launch nowhere"):
        check_execution(Execution(launch=Path("nowhere")))
    with pytest.raises(UserMistakes, match="--launch: starts the processes of a training on this host"):
        check_execution(Execution("ray", launch=Path("ddp_cpu2")))


@pytest.mark.usefixtures("eight_gpus")
def test_what_draws_answers_while_it_learns_is_refused_where_weights_lie_in_parts(tmp_path: Path) -> None:
    gpu, quantised = Compute("cuda", "bfloat16", 4), Compute("cuda", "4bit", 4)
    for content in (FSDP, ZERO3):
        execution = Execution(launch=write(tmp_path, content))
        with pytest.raises(UserMistakes, match="no process a whole model, from which estimator would draw answers"):
            launch_of_estimator(execution, gpu)
        with pytest.raises(UserMistakes, match="takes weights apart, which quantised ones"):
            launch_of_estimator(execution, quantised)
    for name in ("ddp", "deepspeed_zero2"):
        assert launch_of_estimator(Execution(launch=Path(name)), gpu) is not None


@pytest.mark.usefixtures("eight_gpus")
def test_a_run_that_computes_elsewhere_than_the_training_is_refused() -> None:
    processor, gpu = Compute("cpu", "float32", 4), Compute("cuda", "bfloat16", 4)
    with pytest.raises(UserMistakes, match=r"trains on GPUs, and this run computes on cpu; --set compute\.device=cuda"):
        launch_of_estimator(Execution(launch=Path("ddp")), processor)
    with pytest.raises(UserMistakes, match="trains on processors, and this run computes on cuda"):
        launch_of_estimator(Execution(launch=Path("ddp_cpu2")), gpu)
    assert launch_of_estimator(Execution(), gpu) is None


def test_only_what_results_depend_on_goes_into_keys() -> None:
    assert ONE_DEVICE.identity() == []
    assert Devices(1, "").identity() == []
    assert len({str(devices.identity()) for devices in (Devices(2), Devices(4), Devices(2, "zero2"))}) == 3
