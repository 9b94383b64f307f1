"""Direct preference optimisation (Appendix E.1): golden responses against answers that know nobody (Table 23)."""

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from benchmark.errors import RunFailure
from rpm_methods.adapter_training import check_moved, train_adapter
from rpm_methods.arguments import AdapterSettings
from rpm_methods.artifact import PolicyArtifact
from rpm_methods.lineage import trained_artifact
from rpm_methods.method import MethodSpec, TrainContext
from rpm_methods.preflight import check_rows, longest_collated
from rpm_methods.processes import by_first
from rpm_methods.sampled_answers import load_parent, sample_answers
from rpm_methods.training_rows import PreferenceRow, preference_rows
from scoring.models.causal_lm import context_length, load_chat
from scoring.models.generation import Generation

TEMPLATE = "response"
BLANKED = "response_blanked"
REJECTED = "rejected.jsonl"


class DPOSettings(AdapterSettings):
    """Settings of direct preference optimisation."""

    trl_config: ClassVar[str] = "DPOConfig"
    rows_share_prompts: ClassVar[bool] = True


class DirectPreferenceOptimization:
    """Trains a LoRA adapter on the SFT policy; its own answers without persona and character are the rejected ones."""

    spec = MethodSpec(
        name="dpo",
        label="DPO",
        family="preference",
        order=40,
        starts_from="sft",
        produces_reasoning=False,
        trains=True,
        draws_answers=True,
    )
    config_type = DPOSettings

    def models_needed(self, config: DPOSettings) -> Mapping[str, str]:
        """Return no model beside the base."""
        return {}

    def train(self, config: DPOSettings, context: TrainContext) -> PolicyArtifact:
        """Collect rejected answers, then train; both go on from what an interrupted run left."""
        with context.progress.task("data and training", 2, alike=False) as passed:
            rejected = by_first(lambda: self._rejected(context))
            passed()
            chat = load_chat(context.base)
            rows = preference_rows(context.samples, rejected, context.renderer, TEMPLATE, chat)
            preflight = check_rows([row for pair in rows for row in pair.both], chat, context_length(context.base))
            longest = longest_collated([max(len(row.input_ids) for row in pair.both) for pair in rows])
            trained = train_adapter(partial(_make_trainer, rows), chat, config, context, preflight, longest)
        check_moved(trained)
        return trained_artifact(self.spec, context, template=TEMPLATE, training_tokens=trained.tokens)

    def _rejected(self, context: TrainContext) -> list[Generation]:
        """Return the SFT policy's answers to the dialogues alone; RunFailure when a dialogue does not fit."""
        prompts = [context.renderer.render(BLANKED, sample) for sample in context.samples]
        policy = load_parent(context, self.spec)
        path = context.folder / REJECTED
        answers = sample_answers(policy, prompts, context.sampling, path, context, "rejected answers")
        missing = [s.sample_id for s, answer in zip(context.samples, answers, strict=True) if answer.text is None]
        if missing:
            raise RunFailure(f"no rejected answer to {', '.join(missing)}: the prompts do not fit into the context")
        return answers


def _make_trainer(rows: list[PreferenceRow], *, args: Any, **arguments: Any) -> Any:  # noqa: ANN401 - TRL is untyped
    from datasets import Dataset
    from trl import DPOTrainer

    class TokenTrainer(DPOTrainer):  # type: ignore[misc]  # TRL is untyped
        """TRL's trainer over rows that are tokens already, tokenised as prompts are everywhere here."""

        def _prepare_dataset(self, dataset: Any, *rest: object) -> Any:  # noqa: ANN401
            return dataset

    args.max_length = None
    columns = {
        "prompt_ids": [row.prompt_ids for row in rows],
        "chosen_ids": [row.chosen_ids for row in rows],
        "rejected_ids": [row.rejected_ids for row in rows],
    }
    return TokenTrainer(args=args, train_dataset=Dataset.from_dict(columns), **arguments)
