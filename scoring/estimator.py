"""The estimator of log p(y | x, r) and the directory that holds it.

Format version 1: `estimator.json` names the kind, the base model with its fingerprint and whether there is
reasoning; `templates/` holds the prompts. Kind "base" is a plain language model without reasoning (the paper's
"w/o Reasoning" variant).
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from benchmark.errors import Mistake, RunFailure, UserMistakes
from benchmark.prompts import Prompt, PromptRenderer
from benchmark.run_store import content_key, read_json, write_json, write_text
from benchmark.sample import Sample
from scoring.models.resolver import ModelLocation, locate_model

FORMAT_VERSION = 1
DESCRIPTION = "estimator.json"
PROMPTS_BY_REASONING = {False: "policy_without_reasoning", True: "policy_with_reasoning"}


@dataclass(frozen=True)
class EstimatorDescription:
    """What `estimator.json` says."""

    kind: str
    """"base" (a plain model, no training) or "corl" (trained)."""
    base_model: str
    base_fingerprint: str
    reasoning: bool
    format_version: int = FORMAT_VERSION

    @property
    def label(self) -> str:
        """The name used in every output, for example "base smollm2-135m, w/o Reasoning"."""
        return f"{self.kind} {self.base_model}" + ("" if self.reasoning else ", w/o Reasoning")


@dataclass(frozen=True)
class Estimator:
    """An estimator read from its directory."""

    folder: Path
    description: EstimatorDescription
    renderer: PromptRenderer

    @property
    def content_hash(self) -> str:
        """Equal exactly when two estimators give the same likelihoods."""
        template = PROMPTS_BY_REASONING[self.description.reasoning]
        return content_key([asdict(self.description), self.renderer.content_hash(template)])

    def prompt(self, sample: Sample) -> Prompt:
        """Return the prompt under which the responses to a sample are scored."""
        return self.renderer.render(PROMPTS_BY_REASONING[self.description.reasoning], sample)

    def base_location(self) -> ModelLocation:
        """Return where the base model lies.

        Raises:
            RunFailure: the model found now is not the one the estimator was made with.
        """
        location = locate_model(self.description.base_model)
        if location.fingerprint != self.description.base_fingerprint:
            raise RunFailure(
                f"{self.folder}: the estimator was made with other weights of {location.name} than those in "
                f"{location.folder}; make it again, or restore the weights"
            )
        return location


def write_base_estimator(model: str, folder: Path, *, templates: Path | None = None) -> Estimator:
    """Make an estimator of kind "base" from a model by name and return it.

    Raises:
        UserMistakes: no such model, faulty templates, or the folder holds something else already.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / DESCRIPTION).is_file():
        raise UserMistakes([Mistake(str(folder), "is not empty and holds no estimator", "name another folder")])
    renderer = PromptRenderer(templates)
    location = locate_model(model)
    description = EstimatorDescription("base", model, location.fingerprint, reasoning=False)
    name = PROMPTS_BY_REASONING[False]
    template = renderer.templates[name]
    fields = {"system": template.system, "user": template.user, "answer_prefix": template.answer_prefix}
    body = {key: text for key, text in fields.items() if text}
    write_text(folder / "templates" / f"{name}.yaml", yaml.safe_dump(body, allow_unicode=True, sort_keys=False))
    write_json(folder / DESCRIPTION, asdict(description))
    return Estimator(folder, description, renderer)


def read_estimator(folder: Path) -> Estimator:
    """Read an estimator's directory.

    Raises:
        UserMistakes: it is no estimator, or of another format version.
    """
    path = folder / DESCRIPTION
    if not path.is_file():
        remedy = "make one with `rpm-methods estimator base MODEL --out DIR`"
        raise UserMistakes([Mistake(str(folder), f"is no estimator: there is no {DESCRIPTION}", remedy)])
    content = read_json(path)
    version = content.get("format_version") if isinstance(content, dict) else None
    if version != FORMAT_VERSION:
        problem = f"has format version {version}, and this program reads version {FORMAT_VERSION}"
        raise UserMistakes([Mistake(str(path), problem, "make the estimator again with this program")])
    try:
        description = EstimatorDescription(**content)
    except TypeError as error:
        raise UserMistakes([Mistake(str(path), f"is not a description of an estimator: {error}")]) from error
    return Estimator(folder, description, PromptRenderer(folder / "templates"))
