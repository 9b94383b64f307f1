"""ThinkingSFT (Appendix E.1): supervised fine-tuning on a teacher's thinking followed by the golden response."""

from collections.abc import Mapping, Sequence

from benchmark.errors import Mistake, UserMistakes
from benchmark.prompts import PromptRenderer
from benchmark.sample import Sample
from benchmark.thinking import thinking_format
from rpm_methods.arguments import AdapterSettings
from rpm_methods.artifact import PolicyArtifact
from rpm_methods.lineage import trained_artifact
from rpm_methods.method import MethodSpec, TrainContext
from rpm_methods.reasoning_source import ReasoningSource, collect_traces
from rpm_methods.sft_training import train_on_rows
from rpm_methods.teacher_reasoning import all_features, recorded_reasoning
from rpm_methods.training_rows import training_rows
from scoring.models.causal_lm import load_chat

TEMPLATE = "response_thinking"


class ThinkingSFTSettings(ReasoningSource, AdapterSettings):
    """Settings of supervised fine-tuning with thinking."""

    def faults(self, samples: Sequence[Sample], renderer: PromptRenderer) -> list[Mistake]:
        """Return what is wrong with the recorded traces for these samples."""
        try:
            if self.recorded is not None:
                thinking_answers(recorded_reasoning(self.recorded, samples), samples, renderer)
        except UserMistakes as error:
            return list(error.mistakes)
        return []


class ThinkingSupervisedFineTuning:
    """Trains a LoRA adapter on the base model to write the features of the ideal response, then the response."""

    spec = MethodSpec(
        name="thinking_sft",
        label="ThinkingSFT",
        family="thinking",
        order=70,
        starts_from="base",
        produces_reasoning=True,
        trains=True,
    )
    config_type = ThinkingSFTSettings

    def models_needed(self, config: ThinkingSFTSettings) -> Mapping[str, str]:
        """Return no model beside the base."""
        return {}

    def train(self, config: ThinkingSFTSettings, context: TrainContext) -> PolicyArtifact:
        """Collect the thinking, then train; both go on from what an interrupted run left.

        Raises:
            UserMistakes: traces that are missing or faulty, all of them.
            RunFailure: the teacher gave none for some samples, all of which are listed.
        """
        samples, renderer = context.samples, context.renderer
        with context.progress.task("data and training", 2, alike=False) as passed:
            answers = thinking_answers(collect_traces(config, samples, context), samples, renderer)
            passed()
            rows = training_rows(samples, renderer, TEMPLATE, load_chat(context.base), answers=answers)
            tokens = train_on_rows(rows, config, context)
        return trained_artifact(self.spec, context, template=TEMPLATE, training_tokens=tokens)


def thinking_answers(traces: Mapping[str, str], samples: Sequence[Sample], renderer: PromptRenderer) -> list[str]:
    """Return what the policy learns to write for each sample: the features of the ideal response, then the golden one.

    Raises:
        UserMistakes: all traces without features, and all answers that would themselves be malformed, since a tag
            stands in the features or in the golden response.
    """
    form, stop = thinking_format(renderer, TEMPLATE), renderer.templates[TEMPLATE].stop
    thinking = all_features(traces, renderer)
    answers = {s.sample_id: form.write(thinking[s.sample_id], s.golden_response) for s in samples}
    broken = [name for name, text in answers.items() if stop in text or form.read(text) is None]
    if broken:
        problem = "a tag of the answer's form stands in its features or golden response"
        raise UserMistakes([Mistake(f"training sample {name}", problem, "take it out") for name in broken])
    return list(answers.values())
