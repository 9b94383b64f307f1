"""vLLM runs in a process of its own: what it is given, what comes back, what failures say, and that it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import vllm_stand_in

from benchmark import Benchmark, Prompt, PromptRenderer, RunFailure
from benchmark.run_store import read_jsonl
from benchmark.seeds import derive_seed
from scoring.models.backend_settings import BackendSettings, VllmSettings
from scoring.models.backends import MERGED, ServedModel, open_backend
from scoring.models.causal_lm import CausalLM
from scoring.models.generation import Generation, Sampling
from scoring.models.resolver import locate_model
from scoring.models.vllm_process import VllmProcess

SAMPLING = Sampling(max_new_tokens=12, temperature=0.5, seed=9, batch_tokens=2500)
ARGUMENTS = {"model": "m", "gpu_memory_utilization": 0.9}
Start = Callable[..., Path]


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Return a function that says what the engine is to do, and gives the file of what it was asked."""
    root = Path(__file__).parent.parent
    folder = tmp_path / "package"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", f"{vllm_stand_in.install(folder)}:{root}")

    def told(*answers: list[int], **fails: str) -> Path:
        log = tmp_path / "engine.jsonl"
        what = {"answers": answers or [[1, 2]], "fails": fails, "log": str(log)}
        monkeypatch.setenv("STAND_IN", json.dumps(what))
        return log

    return told


def served(model: Path, device: str = "cpu") -> ServedModel:
    return ServedModel(locate_model(str(model)), (), "sft", "float32", device)


@pytest.fixture
def prompts(mini: Benchmark, renderer: PromptRenderer) -> list[Prompt]:
    return [renderer.render("response", mini.test[key][0]) for key in ("id", "german", "japanese")]


def test_the_engine_gets_the_models_settings_and_each_prompt_its_own_sampling(
    stand_in: Start, tiny_model: Path, tiny_lm: CausalLM, prompts: list[Prompt], tmp_path: Path
) -> None:
    log = stand_in([*tiny_lm.chat.encode_text("Rye.\n</Agent Response>")])
    settings = BackendSettings(backend="vllm", vllm=VllmSettings(gpu_memory_utilization=0.4))
    with open_backend(settings, served(tiny_model), SAMPLING, tmp_path / "stage") as backend:
        batches = list(backend.generate(prompts, SAMPLING))
    first, *rest = read_jsonl(log)
    assert first["arguments"] == {
        "model": str(tiny_model),
        "load_format": "safetensors",
        "dtype": "float32",
        "seed": 9,
        "max_model_len": tiny_lm.context_length,
        "gpu_memory_utilization": 0.4,
        "tensor_parallel_size": 1,
        "enable_prefix_caching": True,
        "enforce_eager": True,
        "generation_config": "vllm",
    }
    assert first["environment"]["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"
    assert first["environment"]["VLLM_NO_USAGE_STATS"] == "1"
    assert [next(iter(row)) for row in rest] == ["reset", "batch"] * len(batches)
    asked = [one for row in rest for one in row.get("batch", [])]
    assert [ids for ids, _ in asked] == [tiny_lm.chat.encode_prompt(prompts[i]) for batch in batches for i, _ in batch]
    assert {given["seed"] for _, given in asked} == {derive_seed(9, str(index)) for index in range(3)}
    assert all(given["stop"] == ["</Agent Response>"] and given["ignore_eos"] for _, given in asked)
    answers = dict(item for batch in batches for item in batch)
    assert {(answer.text, answer.finish_reason) for answer in answers.values()} == {("Rye.", "stop")}
    assert "an engine that prints" in (tmp_path / "stage" / "vllm.log").read_text()


def test_tokens_that_end_a_turn_are_taken_off_and_answers_cut_by_length_are_told(
    stand_in: Start, tiny_model: Path, tiny_lm: CausalLM, prompts: list[Prompt], tmp_path: Path
) -> None:
    text = tiny_lm.chat.encode_text("Rye.")
    begun = tiny_lm.chat.encode_text("Rye.\n</Agent")
    stand_in([*text, tiny_lm.chat.end_of_turn_id], begun)
    together = Sampling(max_new_tokens=12, batch_tokens=10**6)
    settings = BackendSettings(backend="vllm")
    with open_backend(settings, served(tiny_model), together, tmp_path / "stage") as backend:
        ((one, other, _),) = backend.generate(prompts, together)
    assert one[1] == Generation("Rye.", "stop", one[1].prompt_tokens, len(text))
    assert other[1] == Generation("Rye.", "length", other[1].prompt_tokens, len(begun))


def test_finished_batches_are_not_asked_again(
    stand_in: Start, tiny_model: Path, prompts: list[Prompt], tmp_path: Path
) -> None:
    log = stand_in()
    settings = BackendSettings(backend="vllm")
    with open_backend(settings, served(tiny_model), SAMPLING, tmp_path / "stage") as backend:
        first, *others = backend.generate(prompts, SAMPLING)
        assert others
        asked = len(read_jsonl(log))
        assert list(backend.generate(prompts, SAMPLING, finished={index for index, _ in first})) == others
    assert len(read_jsonl(log)) == asked + 2 * len(others)


def test_without_adapters_no_copy_of_the_weights_is_written(stand_in: Start, tiny_model: Path, tmp_path: Path) -> None:
    stand_in()
    with open_backend(BackendSettings(backend="vllm"), served(tiny_model), SAMPLING, tmp_path / "stage"):
        assert not (tmp_path / "stage" / MERGED).exists()


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("CUDA out of memory. Tried to allocate 2 GiB", "lower generation.batch_tokens or generation.vllm.gpu_memory"),
        ("killed", "was killed while answering, most likely for want of memory; lower generation.batch_tokens"),
        ("No available memory for the cache blocks.", "raise generation.vllm.gpu_memory_utilization (it is 0.9)"),
        ("something else", "its own words are in"),
        ("silent", "vLLM ended while answering (status 3); its own words are in"),
    ],
)
def test_a_failure_says_which_setting_to_change_and_what_came_before_is_kept(
    stand_in: Start, tmp_path: Path, said: str, remedy: str
) -> None:
    stand_in([5], **{"2": said})
    request: dict[str, Any] = {"ids": [1], "sampling": {}}
    with closing(VllmProcess(ARGUMENTS, tmp_path / "vllm.log", threads=1)) as process:
        assert process.answer([request]) == [[5]]
        with pytest.raises(RunFailure) as caught:
            process.answer([request])
    assert remedy in str(caught.value)
    assert "the same command goes on from them" in str(caught.value)


def test_an_engine_that_does_not_start_is_a_failure_with_its_words(stand_in: Start, tmp_path: Path) -> None:
    stand_in(start="no such architecture")
    with pytest.raises(RunFailure, match=r"vLLM failed while starting \(RuntimeError: no such architecture\)"):
        VllmProcess(ARGUMENTS, tmp_path / "vllm.log", threads=1)
    assert "no such architecture" in (tmp_path / "vllm.log").read_text()


def test_the_engine_ends_with_the_process_that_started_it(stand_in: Start, tmp_path: Path) -> None:
    stand_in()
    code = (
        "import sys, time; from pathlib import Path; from scoring.models.vllm_process import VllmProcess\n"
        f"one = VllmProcess({ARGUMENTS!r}, Path({str(tmp_path / 'vllm.log')!r}), threads=1)\n"
        "print(one._process.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, encoding="utf-8") as started:
        assert started.stdout is not None
        engine = int(started.stdout.readline())
        started.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while _runs(engine) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _runs(engine)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process}/stat")
    return not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] != "Z"
