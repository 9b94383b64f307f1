"""The directory of a trained estimator: written whole, read back the same, refused where a file is not as it was."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import make_sample
from estimator_helpers import REASONING, make_adapter, make_adapters, two_folds, write

from benchmark import PromptRenderer, RunFailure, UserMistakes
from benchmark.run_store import content_key
from scoring.estimator import (
    DESCRIPTION,
    Estimator,
    FoldSource,
    copy_estimator,
    read_estimator,
    write_base_estimator,
)

Write = Callable[..., Estimator]


@pytest.fixture(scope="module")
def adapters(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_adapters(tiny_model, tmp_path_factory.mktemp("adapters"))


@pytest.fixture
def make(tiny_model: Path, adapters: dict[str, Path], tmp_path: Path) -> Write:
    """Return a function that writes an estimator by name, with arguments changed."""
    return lambda name="e", **changes: write(tmp_path / name, tiny_model, adapters, **changes)


def own_templates(folder: Path, name: str, text: str) -> PromptRenderer:
    folder.mkdir()
    (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return PromptRenderer(folder)


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


# What is written is read


def test_it_reads_back_as_written(make: Write, tmp_path: Path, tiny_model: Path) -> None:
    written, read = make(), read_estimator(tmp_path / "e")
    assert read.description == written.description
    assert read.content_hash == written.content_hash
    assert read.assignments == {"a": 0, "b": 1}
    assert (read.description.kind, read.description.format_version, read.description.reasoning) == ("corl", 1, True)
    assert read.description.settings == {"iterations": 2, "rewards": {"form": False}}
    assert read.description.notes == ("fold 1: iteration 2 diverged",)
    assert read.description.project_version == "0.1.0"
    assert read.reasoning_settings == REASONING
    assert json.loads((tmp_path / "e" / "curves.json").read_text()) == [{"place": "fold-0", "step": 1, "loss": 0.5}]
    assert read.base_location().folder == tiny_model


def test_adapters_lie_by_fold_and_role_in_the_order_in_which_they_are_merged(
    make: Write, adapters: dict[str, Path], tmp_path: Path
) -> None:
    estimator = make()
    assert {(fold, role): estimator.adapters(fold, role) for fold in (0, 1) for role in ("generator", "policy")} == {
        (0, "generator"): [tmp_path / "e/folds/0/generator/0-generator-0"],
        (0, "policy"): [tmp_path / "e/folds/0/policy/0-policy-0", tmp_path / "e/folds/0/policy/1-policy-0-more"],
        (1, "generator"): [tmp_path / "e/folds/1/generator/0-generator-1"],
        (1, "policy"): [tmp_path / "e/folds/1/policy/0-policy-1"],
    }
    for copy, source in zip(estimator.adapters(0, "policy"), two_folds(adapters)[0].policy, strict=True):
        assert sorted(path.name for path in copy.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
        for path in copy.iterdir():
            assert path.read_bytes() == (source / path.name).read_bytes()


def test_the_label_names_the_folds_where_there_are_several(make: Write, adapters: dict[str, Path]) -> None:
    two, one = make(), make("one", folds=two_folds(adapters)[:1], assignments={})
    assert two.label == f"corl {two.description.base_model}, 2 folds"
    assert one.label == one.description.label == f"corl {one.description.base_model}"


def test_a_sample_belongs_to_its_fold_and_an_unknown_one_to_the_first(make: Write, adapters: dict[str, Path]) -> None:
    samples = [make_sample(name) for name in ("b", "a", "unknown")]
    estimator = make()
    assert estimator.n_folds == 2
    assert estimator.folds_of(samples) == [1, 0, 0]
    single = make("one", folds=two_folds(adapters)[:1], assignments={})
    assert (single.n_folds, single.fold_of("b"), single.folds_of(samples)) == (1, 0, None)


def test_prompts_are_those_of_the_policy_with_reasoning_and_of_the_generator(make: Write) -> None:
    estimator, sample, renderer = make(), make_sample(), PromptRenderer()
    assert estimator.prompt(sample, "- warm") == renderer.render("policy_with_reasoning", sample, reasoning="- warm")
    assert estimator.prompt(sample, "") == renderer.render("policy_with_reasoning", sample, reasoning="")
    assert estimator.reasoning_prompt(sample) == renderer.render("reasoning_features", sample)
    with pytest.raises(ValueError, match="needs the reasoning of sample IDTest-1"):
        estimator.prompt(sample)


def test_the_templates_of_training_stay_with_it(make: Write, tmp_path: Path) -> None:
    text = "user: '{user_persona} {agent_character} {dialogue_context} mine'\n"
    own = own_templates(tmp_path / "own", "response", text)
    make(renderer=own)
    shutil.rmtree(tmp_path / "own")
    written = sorted(path.stem for path in (tmp_path / "e" / "templates").iterdir())
    assert written == ["policy_with_reasoning", "reasoning_features", "response"]
    read, bundled = read_estimator(tmp_path / "e").renderer, PromptRenderer()
    assert read.content_hash() == own.content_hash() != bundled.content_hash()


def test_a_base_estimator_is_as_before(tiny_model: Path, tmp_path: Path) -> None:
    estimator, sample = write_base_estimator(str(tiny_model), tmp_path / "base"), make_sample()
    described = json.loads((tmp_path / "base" / DESCRIPTION).read_text())
    fields = {"kind": "base", "base_model": str(tiny_model), "reasoning": False, "format_version": 1}
    assert described == {**fields, "base_fingerprint": estimator.base_location().fingerprint}
    assert estimator.content_hash == content_key([described, PromptRenderer().content_hash("policy_without_reasoning")])
    assert (estimator.n_folds, estimator.fold_of("x"), estimator.adapters(0, "policy")) == (1, 0, [])
    assert estimator.folds_of([sample]) is None
    with pytest.raises(ValueError, match="takes no reasoning for sample IDTest-1"):
        estimator.prompt(sample, "")
    with pytest.raises(ValueError, match="kind base writes no reasoning"):
        estimator.reasoning_prompt(sample)


# Equal exactly when the likelihoods are


@pytest.mark.parametrize(
    "changes",
    [
        {"notes": [], "curves": [], "settings": {}},
        {"reasoning": replace(REASONING, batch_tokens=1)},
        {"assignments": {"b": 1, "a": 0}},
    ],
)
def test_what_changes_no_likelihood_changes_no_hash(make: Write, changes: dict[str, Any]) -> None:
    assert make("other", **changes).content_hash == make().content_hash


@pytest.mark.parametrize(
    "changes",
    [
        {"reasoning": replace(REASONING, max_new_tokens=9)},
        {"reasoning": replace(REASONING, repetition_penalty=1.0)},
        {"reasoning": replace(REASONING, template="reasoning")},
        {"assignments": {"a": 1, "b": 0}},
    ],
)
def test_what_changes_a_likelihood_changes_the_hash(make: Write, changes: dict[str, Any]) -> None:
    assert make("other", **changes).content_hash != make().content_hash


@pytest.mark.parametrize(("place", "changed"), [("generator", "generator_hash"), ("policy", "policy_hash")])
def test_an_adapter_changes_the_hash_of_its_own_model_alone(
    make: Write, adapters: dict[str, Path], tiny_model: Path, tmp_path: Path, place: str, changed: str
) -> None:
    other = make_adapter(tiny_model, tmp_path / "other-adapter", seed=99)
    first, second = two_folds(adapters)
    found = make("other", folds=[replace(first, **{place: (other,)}), second])  # type: ignore[arg-type]
    before, after = (estimator.description.folds for estimator in (make(), found))
    names = ("generator_hash", "policy_hash")
    assert {name for name in names if getattr(before[0], name) != getattr(after[0], name)} == {changed}
    assert before[1] == after[1]


def test_a_template_changes_the_hash(make: Write, tmp_path: Path) -> None:
    text = "user: '{user_persona} {agent_character} {dialogue_context} {reasoning}'\n"
    own = own_templates(tmp_path / "own", "policy_with_reasoning", text)
    assert make("other", renderer=own).content_hash != make().content_hash


def test_the_order_of_two_adapters_counts(make: Write, adapters: dict[str, Path]) -> None:
    first, second = two_folds(adapters)
    assert make("other", folds=[replace(first, policy=first.policy[::-1]), second]).content_hash != make().content_hash


def test_where_the_base_lay_and_the_order_of_module_names_change_no_hash(
    make: Write, adapters: dict[str, Path], tmp_path: Path
) -> None:
    moved = Path(shutil.copytree(adapters["policy-1"], tmp_path / "policy-1"))
    config = json.loads((moved / "adapter_config.json").read_text())
    assert len(config["target_modules"]) > 1
    modules = config["target_modules"][::-1]
    edit(moved / "adapter_config.json", base_model_name_or_path="/elsewhere", target_modules=modules)
    first, second = two_folds(adapters)
    assert make("other", folds=[first, replace(second, policy=(moved,))]).content_hash == make().content_hash
    edit(moved / "adapter_config.json", lora_alpha=99)
    assert make("third", folds=[first, replace(second, policy=(moved,))]).content_hash != make().content_hash


# Refused when it is read


WEIGHTS = "folds/1/policy/0-policy-1/adapter_model.safetensors"


@pytest.mark.parametrize("name", [WEIGHTS, "assignments.json", "templates/policy_with_reasoning.yaml"])
def test_a_missing_file_is_named_with_what_to_do(make: Write, tmp_path: Path, name: str) -> None:
    make()
    (tmp_path / "e" / name).unlink()
    with pytest.raises(UserMistakes) as caught:
        read_estimator(tmp_path / "e")
    restore = "copy the estimator's directory again, or make the estimator again"
    assert str(caught.value) == f"{tmp_path / 'e' / name}: is missing; {restore}"


@pytest.mark.parametrize("name", [WEIGHTS, "assignments.json", "templates/policy_with_reasoning.yaml"])
def test_a_changed_byte_is_seen(make: Write, tmp_path: Path, name: str) -> None:
    make()
    content = bytearray((tmp_path / "e" / name).read_bytes())
    content[-2] ^= 1
    (tmp_path / "e" / name).write_bytes(content)
    with pytest.raises(UserMistakes, match=f"{name}: is damaged, or was changed since the estimator was made; copy"):
        read_estimator(tmp_path / "e")


def test_all_damaged_files_are_listed_at_once(make: Write, tmp_path: Path) -> None:
    make()
    (tmp_path / "e" / WEIGHTS).write_bytes(b"")
    (tmp_path / "e" / "curves.json").unlink()
    with pytest.raises(UserMistakes) as caught:
        read_estimator(tmp_path / "e")
    assert [Path(m.where).name for m in caught.value.mistakes] == ["curves.json", "adapter_model.safetensors"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"format_version": 2}, "has format version 2, and this program reads version 1"),
        ({"kind": "other"}, "kind: Input should be 'base' or 'corl'"),
        ({"color": "red"}, "color: Unexpected keyword argument"),
        ({"folds": []}, "is not the whole description of a trained estimator"),
        ({"files": {}}, "is not the whole description of a trained estimator"),
        ({"base_fingerprint": "0"}, "was changed since the estimator was made"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(
    make: Write, tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    make()
    edit(tmp_path / "e" / DESCRIPTION, **changes)
    with pytest.raises(UserMistakes, match=told):
        read_estimator(tmp_path / "e")


def test_a_file_outside_the_directory_is_refused(make: Write, tmp_path: Path) -> None:
    estimator = make()
    (tmp_path / "outside").write_text("x")
    files = {**estimator.description.files, "../outside": "0"}
    edit(tmp_path / "e" / DESCRIPTION, files=files)
    with pytest.raises(UserMistakes, match="lies outside"):
        copy_estimator(tmp_path / "e", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_pickled_weights_are_refused_beside_safetensors_and_instead_of_them(
    make: Write, adapters: dict[str, Path], tmp_path: Path
) -> None:
    folder = make().adapters(0, "generator")[0]
    (folder / "adapter_model.bin").write_bytes(b"x")
    with pytest.raises(UserMistakes, match=r"adapter_model\.bin: weights in this format can run code"):
        read_estimator(tmp_path / "e")
    pickled = tmp_path / "pickled"
    shutil.copytree(adapters["policy-1"], pickled)
    (pickled / "adapter_model.safetensors").rename(pickled / "adapter_model.bin")
    with pytest.raises(UserMistakes, match=r"save the adapter as adapter_model\.safetensors"):
        make("other", folds=[FoldSource((adapters["generator-0"],), (pickled,))], assignments={})
    assert not (tmp_path / "other").exists()


def test_other_weights_of_the_base_stop_the_run(
    make: Write, tiny_model: Path, adapters: dict[str, Path], tmp_path: Path
) -> None:
    model = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    estimator = write(tmp_path / "e", model, adapters)
    with (model / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x00")
    with pytest.raises(RunFailure, match="made with other weights"):
        estimator.base_location()


# Refused when it is written


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"folds": []}, "there is no fold"),
        ({"assignments": {"a": 0, "b": 2}}, "the fold of sample b is 2, and there are 2"),
        ({"assignments": {"a": 0, "b": True}}, "the fold of sample b is True"),
        ({"assignments": {}}, "fold 0 scores no sample; fold 1 scores no sample"),
        ({"reasoning": replace(REASONING, template="response")}, "response is no template of a reasoning generator"),
        ({"curves": [{"loss": float("nan")}]}, "not JSON compliant"),
    ],
)
def test_arguments_that_do_not_fit_leave_no_estimator(
    make: Write, tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        make(**changes)
    assert not (tmp_path / "e" / DESCRIPTION).exists()


def test_folders_that_are_no_adapters_are_all_named(make: Write, tmp_path: Path) -> None:
    with pytest.raises(UserMistakes, match="is missing, so this is no adapter") as caught:
        make(folds=[FoldSource((tmp_path / "nothing",), (tmp_path / "neither",))], assignments={})
    assert len(caught.value.mistakes) == 4


def test_a_kill_before_the_end_leaves_no_estimator_and_writing_again_one(
    make: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = make("straight")
    move = Path.replace

    def stopping(path: Path, target: Path) -> Path:
        if path.name == DESCRIPTION:
            raise KeyboardInterrupt
        return move(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", stopping)
        with pytest.raises(KeyboardInterrupt):
            make()
    with pytest.raises(UserMistakes, match="is no estimator"):
        read_estimator(tmp_path / "e")
    assert make().description == straight.description
    assert sorted(path.name for path in (tmp_path / "e").iterdir()) == sorted(
        path.name for path in (tmp_path / "straight").iterdir()
    )


def test_it_can_be_written_anew_from_its_own_adapters_and_never_over_something_else(
    make: Write, tmp_path: Path
) -> None:
    first = make()
    fold = FoldSource(*(tuple(first.adapters(1, role)) for role in ("generator", "policy")))
    again = make(folds=[fold], assignments={})
    assert again.n_folds == 1
    assert not (tmp_path / "e" / "folds" / "1").exists()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    with pytest.raises(UserMistakes, match="is not empty and holds no estimator"):
        make("notes")
    assert [path.name for path in (tmp_path / "notes").iterdir()] == ["mine.txt"]


def test_a_copy_is_the_same_estimator_without_what_lay_beside_it(make: Write, tmp_path: Path) -> None:
    estimator = make()
    (tmp_path / "e" / "folds" / "notes.txt").write_text("mine")
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "old.txt").write_text("old")
    copy_estimator(tmp_path / "e", tmp_path / "copy")
    assert read_estimator(tmp_path / "copy").description == estimator.description
    copied = {path.relative_to(tmp_path / "copy").as_posix() for path in (tmp_path / "copy").rglob("*.*")}
    assert {name for name in copied if (tmp_path / "copy" / name).is_file()} == {
        *estimator.description.files,
        DESCRIPTION,
    }
