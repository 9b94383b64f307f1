"""Data augmentation (Appendix E.1): supervised fine-tuning on the golden dialogues and on a teacher's new ones."""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from benchmark.errors import Mistake, UserMistakes
from benchmark.rows import RowReader
from benchmark.run_store import read_jsonl
from benchmark.sample import Sample
from benchmark.subsets import TRAIN_SPLIT
from rpm_methods.arguments import AdapterSettings
from rpm_methods.artifact import PolicyArtifact
from rpm_methods.lineage import trained_artifact
from rpm_methods.method import MethodSpec, TrainContext
from rpm_methods.sft_training import train_on_rows
from rpm_methods.training_rows import training_rows
from scoring.models.causal_lm import load_chat

TEMPLATE = "response"


class DASettings(AdapterSettings):
    """Settings of data augmentation."""

    dialogues: str = "mini"
    """What the teacher wrote: "mini" for the recorded dialogues of the mini benchmark, or a JSON-lines file of samples
    in the benchmark's schema with `source_sample_IDs`."""


class DataAugmentation:
    """Trains a LoRA adapter on the training samples mixed with dialogues made from them."""

    spec = MethodSpec(
        name="da",
        label="DA",
        family="sft",
        order=30,
        starts_from="base",
        produces_reasoning=False,
        trains=True,
    )
    config_type = DASettings

    def models_needed(self, config: DASettings) -> Mapping[str, str]:
        """Return no model beside the base."""
        return {}

    def train(self, config: DASettings, context: TrainContext) -> PolicyArtifact:
        """Train on the golden responses of the training samples and of the dialogues made from them.

        Raises:
            UserMistakes: the teacher's file is faulty, or holds no dialogue made from a training sample.
        """
        made = augmented_samples(config.dialogues, context.samples)
        rows = training_rows([*context.samples, *made], context.renderer, TEMPLATE, load_chat(context.base))
        tokens = train_on_rows(rows, config, context)
        return trained_artifact(self.spec, context, template=TEMPLATE, training_tokens=tokens)


def augmented_samples(source: str, samples: Sequence[Sample]) -> list[Sample]:
    """Return the teacher's dialogues that were made from some of the samples, in the order of the file.

    Raises:
        UserMistakes: all faulty lines, or there is no such dialogue.
    """
    path = Path(str(files("benchmark.data.mini") / "augmented.jsonl")) if source == "mini" else Path(source)
    if not path.is_file():
        raise UserMistakes([Mistake(f"config.dialogues: {source}", "is neither 'mini' nor a file")])
    known = {sample.sample_id for sample in samples}
    made: list[Sample] = []
    mistakes: list[Mistake] = []
    for number, row in enumerate(read_jsonl(path), start=1):
        reader = RowReader(row, TRAIN_SPLIT, f"{path}:{number}")
        sample = reader.sample()
        mistakes += reader.faults
        if sample is not None and known.intersection(sample.source_sample_ids):
            made.append(sample)
    if not made and not mistakes:
        problem = "holds no dialogue made from one of the training samples"
        mistakes.append(Mistake(str(path), problem, "let the teacher write some, or train on the samples it was given"))
    if mistakes:
        raise UserMistakes(mistakes)
    return made
