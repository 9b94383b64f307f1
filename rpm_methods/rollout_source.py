"""Where TRL's trainer gets its rollouts from, and what is kept of them: texts with their rewards, every few steps.

With several processes each draws and rewards its own part of a step. What is logged and kept is of the whole step.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch

from benchmark.run_store import read_jsonl, write_jsonl
from benchmark.sample import Sample
from benchmark.seeds import derive_seed
from rpm_methods.merged_adapter import merged
from rpm_methods.processes import by_first, gathered
from rpm_methods.training_rows import PromptRow
from rpm_methods.vllm_rollouts import draw_by_vllm
from scoring.models.causal_lm import CausalLM
from scoring.models.chat import ChatTokenizer
from scoring.models.out_of_memory import out_of_memory_names
from scoring.sampling import Rollout, sample_rollouts

FOLDER = "rollouts"
ROLLOUTS = "rollouts.jsonl"


@dataclass(frozen=True)
class RewardPart:
    """One part of the reward."""

    name: str
    score: Callable[[Sample, Sequence[Rollout]], list[float | None]]
    """All rollouts of one sample -> a reward each; None where there cannot be one."""
    prepared: Callable[[Any], AbstractContextManager[object]] = nullcontext
    """Given the model in training, a PEFT model, what is in force while the rollouts of a step are scored."""


@dataclass(frozen=True)
class StepRollouts:
    """What was drawn in one step."""

    step: int
    """From 1."""
    groups: Sequence[tuple[Sample, Sequence[Rollout]]]
    rewards: Sequence[Sequence[float | None]]
    """Of the rollouts of each group."""
    model: Any
    """The PEFT model in training."""


Measure = Callable[[StepRollouts], Mapping[str, float]]
"""Something to log of a step beside its rewards: name -> value."""


@dataclass(frozen=True)
class Scored:
    """Rollouts in TRL's order, with what they were rewarded."""

    places: list[int]
    """The row of each."""
    drawn: list[Rollout]
    parts: dict[str, list[float | None]]
    """Name of a part of the reward -> its value for each."""

    @property
    def totals(self) -> list[float | None]:
        """The reward of each: the sum of its parts."""
        return [_sum(values) for values in zip(*self.parts.values(), strict=True)]

    @property
    def groups(self) -> list[tuple[int, int]]:
        """(first, behind the last) of each run of rollouts of one row."""
        return _runs(self.places)


@dataclass
class RolloutSource:
    """Draws the rollouts of a step and writes down those of every few steps."""

    rows: Sequence[PromptRow]
    samples: Sequence[Sample]
    stop: str
    chat: ChatTokenizer
    context_length: int
    batch_tokens: int
    """Memory: most tokens in a batch of rollouts, prompts and room for answers included."""
    seed: int
    folder: Path
    keep_every: int
    """Texts are kept of the first step and of every so manyth."""
    parts: Sequence[RewardPart]
    well_formed: Callable[[str], bool] | None = None
    """Tells malformed answers, where the method asks for a form."""
    measures: Sequence[Measure] = ()
    model: Any = None
    """The PEFT model in training, known from the first step on."""
    drawn: list[Rollout] = field(default_factory=list)
    """The rollouts of the step at hand, in TRL's order."""
    places: list[int] = field(default_factory=list)
    """The row of each."""
    share_without_spread: float = 0.0
    """Of the step's groups, those in which no two rewards differ: nothing is learned from them."""

    def __call__(self, prompts: Sequence[str], trainer: Any) -> dict[str, Any]:  # noqa: ANN401 - TRL's rollout_func
        """Answer the prompts, which are row numbers, as TRL asks of its `rollout_func`."""
        self.places = [int(prompt) for prompt in prompts]
        self.model = trainer.accelerator.unwrap_model(trainer.model)
        prompt_ids = [self.rows[place].prompt_ids for place in self.places]
        log_probs = None
        if trainer.use_vllm:
            seed = derive_seed(self.seed, str(trainer.state.global_step + 1))
            self.drawn, log_probs = draw_by_vllm(trainer, prompt_ids, self.chat, stop=self.stop, seed=seed)
        else:
            self._draw(trainer)
        return {
            "prompt_ids": prompt_ids,
            "completion_ids": [list(rollout.ids) for rollout in self.drawn],
            "logprobs": log_probs,
        }

    def _draw(self, trainer: Any) -> None:  # noqa: ANN401 - a TRL trainer
        """Draw the rollouts of the step by the model in training itself."""
        seeds = self._seeds(trainer)
        with merged(self.model) as model:
            lm = CausalLM(model, self.chat, self.context_length, torch.device(model.device))
            self.drawn = []
            for batch in self._batches(trainer.max_completion_length):
                start = len(self.drawn)
                with out_of_memory_names("config.rollout_batch_tokens", doing="drawing rollouts"):
                    self.drawn += sample_rollouts(
                        lm,
                        [self.rows[place].prompt_ids for place in batch],
                        stop=self.stop,
                        max_new_tokens=trainer.max_completion_length,
                        temperature=trainer.temperature,
                        seed=seeds[start : start + len(batch)],
                    )

    def total(
        self,
        log_metric: Callable[[str, float], None],
        trainer_state: Any,  # noqa: ANN401 - transformers' own
        **others: object,
    ) -> list[float | None]:
        """Return the reward of each rollout, the sum of its parts, as a reward function of TRL's; log the parts."""
        own = Scored(self.places, self.drawn, {part.name: self._score(part) for part in self.parts})
        scored = _joined(gathered(own))
        totals = scored.totals
        groups = [{total for total in totals[start:end] if total is not None} for start, end in scored.groups]
        self.share_without_spread = sum(len(values) < 2 for values in groups) / len(groups)
        malformed = [self.well_formed is not None and not self.well_formed(r.text) for r in scored.drawn]
        for name, values in scored.parts.items():
            known = [value for value in values if value is not None]
            log_metric(f"rewards/{name}/mean", fmean(known) if known else math.nan)
            log_metric(f"rewards/{name}/std", stdev(known) if len(known) > 1 else math.nan)
        count = len(totals)
        log_metric("rewards/unscorable_share", sum(total is None for total in totals) / count)
        log_metric("completions/clipped_share", sum(r.finish_reason == "length" for r in scored.drawn) / count)
        if self.well_formed is not None:
            log_metric("completions/malformed_share", sum(malformed) / count)
        rewards = [totals[start:end] for start, end in scored.groups]
        step = StepRollouts(trainer_state.global_step + 1, self._by_sample(scored), rewards, self.model)
        for name, number in by_first(lambda: self._measured(step)).items():
            log_metric(name, number)
        by_first(lambda: self._keep(step.step, scored, malformed))
        return own.totals

    def _score(self, part: RewardPart) -> list[float | None]:
        """Score this process's rollouts, those of each sample together."""
        values: list[float | None] = []
        with part.prepared(self.model):
            for sample, rollouts in self._by_sample(Scored(self.places, self.drawn, {})):
                values += part.score(sample, rollouts)
        return values

    def _by_sample(self, scored: Scored) -> list[tuple[Sample, Sequence[Rollout]]]:
        return [(self.samples[scored.places[start]], scored.drawn[start:end]) for start, end in scored.groups]

    def _measured(self, step: StepRollouts) -> dict[str, float]:
        """Return what all measures find; some write files, so only one process asks them."""
        return {name: number for measure in self.measures for name, number in measure(step).items()}

    def finish(self) -> None:
        """Join the files of single steps into one."""
        by_first(self._join_files)

    def _join_files(self) -> None:
        steps = sorted((self.folder / FOLDER).glob("step-*.jsonl"))
        write_jsonl(self.folder / ROLLOUTS, [row for path in steps for row in read_jsonl(path)])

    def _seeds(self, trainer: Any) -> list[int]:  # noqa: ANN401 - a TRL trainer
        """Return the seed of each rollout: made of step, row and number among the row's, whichever process draws it."""
        before = trainer.accelerator.process_index * len(self.places)
        step = str(trainer.state.global_step + 1)
        return [
            derive_seed(self.seed, step, str(place), str((before + number) % trainer.num_generations))
            for number, place in enumerate(self.places)
        ]

    def _batches(self, new_tokens: int) -> list[list[int]]:
        """Split the rows into batches within the memory setting, the answers of a prompt together."""
        batches: list[list[int]] = []
        for start, end in _runs(self.places):
            group = self.places[start:end]
            both = [*(batches[-1] if batches else []), *group]
            width = max(len(self.rows[place].prompt_ids) for place in both) + new_tokens
            if batches and width * len(both) <= self.batch_tokens:
                batches[-1] = both
            else:
                batches.append(group)
        return batches

    def _keep(self, step: int, scored: Scored, malformed: Sequence[bool]) -> None:
        """Write the rollouts of a step that is to be kept; a step that is run again writes its file anew."""
        if step != 1 and step % self.keep_every:
            return
        totals = scored.totals
        rows = [
            {
                "step": step,
                "sample_id": self.rows[place].sample_id,
                "text": rollout.text,
                "reward": totals[number],
                "parts": {name: values[number] for name, values in scored.parts.items()},
                "finish_reason": rollout.finish_reason,
                "malformed": malformed[number],
            }
            for number, (place, rollout) in enumerate(zip(scored.places, scored.drawn, strict=True))
        ]
        write_jsonl(self.folder / FOLDER / f"step-{step:06d}.jsonl", rows)


def _joined(scored: Sequence[Scored]) -> Scored:
    """Return the rollouts of all processes as those of one."""
    return Scored(
        [place for one in scored for place in one.places],
        [rollout for one in scored for rollout in one.drawn],
        {name: [value for one in scored for value in one.parts[name]] for name in scored[0].parts},
    )


def _runs(places: Sequence[int]) -> list[tuple[int, int]]:
    """Return (first, behind the last) of each run of equal places."""
    changes = [i for i in range(1, len(places)) if places[i] != places[i - 1]]
    return list(zip([0, *changes], [*changes, len(places)], strict=True))


def _sum(values: Sequence[float | None]) -> float | None:
    """Return the sum of a rollout's parts; None when one of them is missing."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
