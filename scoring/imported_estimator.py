"""An estimator from adapters that were trained elsewhere, such as those that the paper's authors released.

They come as PEFT folders: for the generator and for the policy model the adapter of the cold start, then that of
reinforcement learning on top. They know the prompts of their own training, so a folder with these has to be given;
under other prompts they would be other models.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from benchmark.errors import Mistake, UserMistakes
from benchmark.prompts import PromptRenderer
from scoring.estimator import Estimator, FoldSource, ReasoningSettings, write_corl_estimator
from scoring.estimator_description import PROMPTS_BY_REASONING
from scoring.estimator_files import ADAPTER_CONFIG, check_adapters
from scoring.models.resolver import locate_model
from scoring.reasoning_text import reasoning_reader

GENERATOR = "reasoning"
NEEDED = (GENERATOR, PROMPTS_BY_REASONING[True])
"""Templates that must be those of the adapters' training."""


def import_estimator(
    model: str,
    folder: Path,
    *,
    generator: Sequence[Path],
    policy: Sequence[Path],
    templates: Path,
    max_new_tokens: int = 2048,
    repetition_penalty: float = 1.05,
    batch_tokens: int = 65536,
) -> Estimator:
    """Make an estimator of kind "corl" from adapters and return it. It has one fold: what it was fitted on is unknown.

    Args:
        model: the base by packaged name, folder or hub id; the released adapters are for Qwen/Qwen3-8B.
        folder: the estimator's directory.
        generator: adapters of the reasoning generator in the order in which they are merged.
        policy: those of the policy model.
        templates: folder with the prompts of their training, `reasoning.yaml` and `policy_with_reasoning.yaml`, in
            this project's form.
        max_new_tokens: of a reasoning.
        repetition_penalty: of its greedy decoding.
        batch_tokens: memory setting of its generation.

    Raises:
        UserMistakes: what is missing or faulty among model, adapters and templates.
    """
    absent = [name for name in NEEDED if not (templates / f"{name}.yaml").is_file()]
    if absent:
        problem = "is missing; under other prompts than those of their training the adapters are other models"
        remedy = "write it from the prompts that came with them, with the slots of the bundled template of that name"
        raise UserMistakes([Mistake(str(templates / f"{name}.yaml"), problem, remedy) for name in absent])
    check_adapters([*generator, *policy])
    renderer = PromptRenderer(templates)
    reasoning_reader(renderer, GENERATOR)
    settings = {"imported": {"generator": [str(path) for path in generator], "policy": [str(path) for path in policy]}}
    return write_corl_estimator(
        folder,
        base=locate_model(model),
        folds=[FoldSource(tuple(generator), tuple(policy))],
        assignments={},
        renderer=renderer,
        reasoning=ReasoningSettings(GENERATOR, max_new_tokens, repetition_penalty, batch_tokens),
        settings=settings,
        curves=[],
        notes=["imported: what it was fitted on is not known", *_other_bases(model, [*generator, *policy])],
    )


def _other_bases(model: str, adapters: Sequence[Path]) -> list[str]:
    """Return a note for each adapter that says it was trained on a model of another name."""
    notes = []
    for adapter in adapters:
        config = json.loads((adapter / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        named = str(config.get("base_model_name_or_path") or "")
        if named and Path(named).name != Path(model).name:
            notes.append(f"the adapter {adapter.name} says that it was trained on {named}, not on {model}")
    return notes
