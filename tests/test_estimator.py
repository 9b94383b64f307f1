"""The estimator's directory: written, read, refused where it does not fit."""

import json
import shutil
from pathlib import Path

import pytest
from conftest import make_sample

from benchmark import RunFailure, UserMistakes
from scoring.estimator import DESCRIPTION, read_estimator, write_base_estimator


def test_a_base_estimator_reads_back_as_written(tiny_model: Path, tmp_path: Path) -> None:
    written = write_base_estimator(str(tiny_model), tmp_path / "e")
    read = read_estimator(tmp_path / "e")
    assert read.description == written.description
    assert read.content_hash == written.content_hash
    assert read.prompt(make_sample()) == written.prompt(make_sample())
    assert (read.description.kind, read.description.format_version) == ("base", 1)


def test_every_output_name_says_that_there_is_no_reasoning(tiny_model: Path, tmp_path: Path) -> None:
    assert write_base_estimator(str(tiny_model), tmp_path / "e").description.label.endswith("w/o Reasoning")


def test_the_prompt_ends_where_the_response_begins(tiny_model: Path, tmp_path: Path) -> None:
    prompt = write_base_estimator(str(tiny_model), tmp_path / "e").prompt(make_sample())
    assert prompt.answer_prefix == "## Agent Response\n"
    assert "Rye." not in prompt.messages[-1].content


def test_the_templates_it_was_made_with_stay_with_it(tiny_model: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    text = "user: '{user_persona} {agent_character} {dialogue_context} mine'\n"
    (own / "policy_without_reasoning.yaml").write_text(text)
    write_base_estimator(str(tiny_model), tmp_path / "e", templates=own)
    shutil.rmtree(own)
    assert read_estimator(tmp_path / "e").prompt(make_sample()).messages[-1].content.endswith("mine")


def test_another_format_version_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    write_base_estimator(str(tiny_model), tmp_path / "e")
    path = tmp_path / "e" / DESCRIPTION
    path.write_text(json.dumps({**json.loads(path.read_text()), "format_version": 2}))
    with pytest.raises(UserMistakes, match="has format version 2, and this program reads version 1"):
        read_estimator(tmp_path / "e")


def test_a_folder_that_is_no_estimator_is_refused_and_left_alone(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserMistakes, match="is no estimator"):
        read_estimator(tmp_path)
    with pytest.raises(UserMistakes, match="not empty"):
        write_base_estimator(str(tiny_model), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_other_weights_under_the_same_name_stop_the_run(tiny_model: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    estimator = write_base_estimator(str(model), tmp_path / "e")
    estimator.base_location()
    weights = model / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(RunFailure, match="made with other weights"):
        estimator.base_location()
