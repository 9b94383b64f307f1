"""The directory that holds an estimator of log p(y | x, r): written, copied, read and checked.

Format version 1: `estimator.json` names the kind, the base model with its fingerprint and whether there is
reasoning; `templates/` holds the prompts. Kind "base" is a plain language model without reasoning (the paper's
"w/o Reasoning" variant). Kind "corl" is trained: `folds/N/generator/` and `folds/N/policy/` hold the LoRA adapters of
each fold in the order in which they are merged, `assignments.json` which fold scores which sample, `curves.json` how
training went. `estimator.json` knows the hash of each of these files and is written last.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from benchmark.errors import Mistake, UserMistakes
from benchmark.prompts import PromptRenderer
from benchmark.run_store import content_key, disk_errors, read_json, write_json
from scoring.estimator_description import (
    FORMAT_VERSION,
    PROMPTS_BY_REASONING,
    Estimator,
    EstimatorDescription,
    FoldDescription,
    ReasoningSettings,
)
from scoring.estimator_files import (
    ADAPTER_FILES,
    RESTORE,
    adapter_key,
    changed_files,
    check_adapters,
    copy_adapter,
    file_hashes,
    pickled_weights,
    replaced_templates,
    write_templates,
)
from scoring.models.resolver import ModelLocation, locate_model
from scoring.reasoning_text import TEMPLATES

__all__ = [
    "DESCRIPTION",
    "Estimator",
    "EstimatorDescription",
    "FoldSource",
    "ReasoningSettings",
    "copy_estimator",
    "read_estimator",
    "write_base_estimator",
    "write_corl_estimator",
]

DESCRIPTION = "estimator.json"
ASSIGNMENTS = "assignments.json"
CURVES = "curves.json"
FOLDS_FOLDER = "folds"
TEMPLATES_FOLDER = "templates"
_MAKING = ".making"
"""Holds what is being written; an interrupted writing leaves it behind."""


@dataclass(frozen=True)
class FoldSource:
    """The adapters of one fold where training left them, in the order in which they are merged into the base."""

    generator: tuple[Path, ...]
    policy: tuple[Path, ...]


def write_base_estimator(model: str, folder: Path, *, templates: Path | None = None) -> Estimator:
    """Make an estimator of kind "base" from a model by name and return it.

    Raises:
        UserMistakes: no such model, faulty templates, or the folder holds something else already.
    """
    _refuse_foreign(folder)
    renderer = PromptRenderer(templates)
    location = locate_model(model)
    description = EstimatorDescription("base", model, location.fingerprint, reasoning=False)
    write_templates(renderer, [PROMPTS_BY_REASONING[False]], folder / TEMPLATES_FOLDER)
    write_json(folder / DESCRIPTION, description.plain())
    return Estimator(folder, description, renderer)


def write_corl_estimator(
    folder: Path,
    *,
    base: ModelLocation,
    folds: Sequence[FoldSource],
    assignments: Mapping[str, int],
    renderer: PromptRenderer,
    reasoning: ReasoningSettings,
    settings: Mapping[str, object],
    curves: Sequence[Mapping[str, object]],
    notes: Sequence[str],
    quantization: str | None = None,
) -> Estimator:
    """Make an estimator of kind "corl" from what training left, and return it as read back.

    Args:
        folder: the estimator's directory; it counts as an estimator once everything is there.
        base: the model that all adapters are put on.
        folds: the adapters of each fold; they are copied in.
        assignments: sample ID -> number of the fold that was not trained on it; empty without cross-fitting.
        renderer: the templates of its training.
        reasoning: how the generators' reasoning is to be written.
        settings: the recipe of its training as resolved, plain data.
        curves: rows of its training curves, plain data.
        notes: remarks on its training that belong beside every number made with it.
        quantization: "8bit" or "4bit" where the base's weights were quantised in training.

    Raises:
        ValueError: no fold, a template that no generator is asked under, assignments that do not fit the folds, or
            NaN in the settings or curves.
        UserMistakes: adapters that are none or not safetensors, or the folder holds something else already.
        RunFailure: the disk is full.
    """
    _check_arguments(folds, assignments, reasoning)
    making = _make_place(folder)
    copied = [_copy_fold(making, number, fold) for number, fold in enumerate(folds)]
    used = {reasoning.template, PROMPTS_BY_REASONING[True], *replaced_templates(renderer)}
    write_templates(renderer, sorted(used), making / TEMPLATES_FOLDER)
    write_json(making / ASSIGNMENTS, dict(assignments))
    write_json(making / CURVES, [dict(row) for row in curves])
    description = EstimatorDescription(
        "corl",
        base.name,
        base.fingerprint,
        reasoning=True,
        reasoning_settings=reasoning,
        folds=tuple(_hashed(making, fold, base.fingerprint, renderer, reasoning) for fold in copied),
        settings=dict(settings),
        notes=tuple(notes),
        quantization=quantization,
        project_version=_project_version(),
        files=file_hashes(making),
    )
    write_json(making / DESCRIPTION, description.plain())
    _put_in_place(making, folder)
    return read_estimator(folder)


def copy_estimator(source: Path, target: Path) -> None:
    """Copy an estimator's directory in place of what is there; its description comes last.

    Raises:
        UserMistakes: `source` is no estimator, or a damaged one.
        RunFailure: the disk is full.
    """
    listed = [source / name for name in read_estimator(source).description.files]
    templates = sorted((source / TEMPLATES_FOLDER).glob("*.yaml"))
    with disk_errors(target):
        shutil.rmtree(target, ignore_errors=True)
        for path in (*(listed or templates), source / DESCRIPTION):
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)


def read_estimator(folder: Path) -> Estimator:
    """Read an estimator's directory and check every file that belongs to it.

    Raises:
        UserMistakes: it is no estimator, or of another format version; files of it are missing, damaged or changed.
    """
    path = folder / DESCRIPTION
    if not path.is_file():
        remedy = "make one with `rpm-methods estimator base MODEL --out DIR`"
        raise UserMistakes([Mistake(str(folder), f"is no estimator: there is no {DESCRIPTION}", remedy)])
    content = read_json(path)
    found = content.get("format_version") if isinstance(content, dict) else None
    if found != FORMAT_VERSION:
        problem = f"has format version {found}, and this program reads version {FORMAT_VERSION}"
        raise UserMistakes([Mistake(str(path), problem, "make the estimator again with this program")])
    description = _parse(path, content)
    if description.kind == "base":
        return Estimator(folder, description, PromptRenderer(folder / TEMPLATES_FOLDER))
    return _read_trained(folder, description)


def _parse(path: Path, content: Any) -> EstimatorDescription:  # noqa: ANN401 - any plain data
    try:
        return TypeAdapter(EstimatorDescription).validate_python(content)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
    raise UserMistakes([Mistake(str(path), f"is not a description of an estimator: {fault}") for fault in faults])


def _read_trained(folder: Path, description: EstimatorDescription) -> Estimator:
    """Read an estimator of kind "corl", all of whose files are as they were written."""
    path, settings, folds = folder / DESCRIPTION, description.reasoning_settings, description.folds
    adapters = [name for fold in folds for name in (*fold.generator, *fold.policy)]
    needed = {ASSIGNMENTS, *(f"{name}/{file}" for name in adapters for file in ADAPTER_FILES)}
    known = settings is not None and settings.template in TEMPLATES
    if settings is None or not (known and folds and description.reasoning and needed <= description.files.keys()):
        raise UserMistakes([Mistake(str(path), "is not the whole description of a trained estimator", RESTORE)])
    mistakes = changed_files(folder, description.files)
    mistakes += [mistake for name in dict.fromkeys(adapters) for mistake in pickled_weights(folder / name)]
    if mistakes:
        raise UserMistakes(mistakes)
    renderer = PromptRenderer(folder / TEMPLATES_FOLDER)
    if any(_hashed(folder, fold, description.base_fingerprint, renderer, settings) != fold for fold in folds):
        raise UserMistakes([Mistake(str(path), "was changed since the estimator was made", RESTORE)])
    assignments = read_json(folder / ASSIGNMENTS)
    if faults := _assignment_faults(assignments, len(folds)):
        raise UserMistakes([Mistake(str(folder / ASSIGNMENTS), fault, RESTORE) for fault in faults])
    return Estimator(folder, description, renderer, assignments)


def _check_arguments(folds: Sequence[FoldSource], assignments: Mapping[str, int], reasoning: ReasoningSettings) -> None:
    """Raise ValueError or UserMistakes for what no estimator can be made of."""
    faults = _assignment_faults(assignments, len(folds)) if folds else ["there is no fold"]
    if reasoning.template not in TEMPLATES:
        faults.append(f"{reasoning.template} is no template of a reasoning generator")
    if faults:
        raise ValueError(f"an estimator cannot be made: {'; '.join(faults)}")
    check_adapters([adapter for fold in folds for adapter in (*fold.generator, *fold.policy)])


def _assignment_faults(assignments: Mapping[str, int], n_folds: int) -> list[str]:
    """Say what is wrong with the folds that samples are given."""
    known = range(n_folds)
    strange = [name for name, fold in assignments.items() if isinstance(fold, bool) or fold not in known]
    faults = [f"the fold of sample {name} is {assignments[name]!r}, and there are {n_folds}" for name in strange]
    idle = sorted(set(known) - set(assignments.values())) if n_folds > 1 else []
    return faults + [f"fold {fold} scores no sample" for fold in idle]


def _copy_fold(folder: Path, number: int, source: FoldSource) -> FoldDescription:
    """Copy a fold's adapters in and return where they lie, still without hashes."""

    def copied(role: str, adapters: Sequence[Path]) -> tuple[str, ...]:
        names = [f"{FOLDS_FOLDER}/{number}/{role}/{place}-{path.name}" for place, path in enumerate(adapters)]
        for name, path in zip(names, adapters, strict=True):
            copy_adapter(path, folder / name)
        return tuple(names)

    generator, policy = copied("generator", source.generator), copied("policy", source.policy)
    return FoldDescription(generator, policy, generator_hash="", policy_hash="")


def _hashed(
    folder: Path, fold: FoldDescription, fingerprint: str, renderer: PromptRenderer, settings: ReasoningSettings
) -> FoldDescription:
    """Return the fold with the hashes of its two models as their files and settings are now."""
    generator = [adapter_key(folder / name) for name in fold.generator]
    policy = [adapter_key(folder / name) for name in fold.policy]
    asked, answered = (renderer.content_hash(name) for name in (settings.template, PROMPTS_BY_REASONING[True]))
    return replace(
        fold,
        generator_hash=content_key(["generator", fingerprint, generator, asked, settings.identity()]),
        policy_hash=content_key(["policy", fingerprint, policy, answered]),
    )


def _refuse_foreign(folder: Path) -> None:
    """Raise UserMistakes for a folder that holds something else than an estimator, whole or half written."""
    own = (folder / DESCRIPTION).is_file() or (folder / _MAKING).is_dir()
    if folder.exists() and any(folder.iterdir()) and not own:
        raise UserMistakes([Mistake(str(folder), "is not empty and holds no estimator", "name another folder")])


def _make_place(folder: Path) -> Path:
    """Return an empty folder below the estimator's, to write into."""
    _refuse_foreign(folder)
    making = folder / _MAKING
    with disk_errors(folder):
        shutil.rmtree(making, ignore_errors=True)
        (making / FOLDS_FOLDER).mkdir(parents=True)
    return making


def _put_in_place(making: Path, folder: Path) -> None:
    """Move what was written to its place. Until the last move, that of the description, there is no estimator."""
    with disk_errors(folder):
        (folder / DESCRIPTION).unlink(missing_ok=True)
        for name in (FOLDS_FOLDER, TEMPLATES_FOLDER, ASSIGNMENTS, CURVES, DESCRIPTION):
            if (folder / name).is_dir():
                shutil.rmtree(folder / name)
            (making / name).replace(folder / name)
        making.rmdir()


def _project_version() -> str | None:
    """Return this project's version; None where it is not installed."""
    try:
        return version("rpm-methods")
    except PackageNotFoundError:
        return None
