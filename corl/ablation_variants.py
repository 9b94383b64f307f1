"""The variants of an estimator that the ablation compares: trained for one fold, evaluated on what it did not see.

Variants with reasoning differ in how their two models were trained, those without in how much data they saw. Whatever
the co-evolution of the fold has left is used as it is; trainings that it does not have are done here, in folders of
their own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmark.prompts import Prompt
from benchmark.run_store import append_jsonl, read_appended_jsonl
from benchmark.sample import Sample
from benchmark.seeds import derive_seed
from corl.estimator_loop import POLICY, FoldLoop, FoldOutcome, reasoning_settings
from corl.estimator_training import EstimatorTraining
from corl.phases import PhaseRunner, below
from rpm_methods.training_rows import TrainingRow, training_rows
from scoring.estimator_description import PROMPTS_BY_REASONING
from scoring.likelihood import REWARD_SETTING, LikelihoodScorer, encode_response
from scoring.models.causal_lm import load_causal_lm
from scoring.models.memory import release_memory
from scoring.reasoning import Reasoning, ReasoningCache, read_or_write_reasonings
from scoring.rewards import AnswerLikelihood, answer_likelihoods

PLAIN = PROMPTS_BY_REASONING[False]
"""The template of variants without reasoning."""


@dataclass(frozen=True)
class Variant:
    """One row of the ablation."""

    name: str
    label: str
    description: str
    reasoning: bool
    """Whether golden responses are scored behind the variant's own reasoning."""


FULL = "full"
VARIANTS = (
    Variant(FULL, "co-evolved", "the generator and the policy model that co-evolution ends with", True),
    Variant("without_corl", "without co-evolution", "both models after the cold start", True),
    Variant(
        "without_rl",
        "without reinforcement learning",
        "the cold start's generator; its policy model after SFT on the golden responses of co-evolution behind that "
        "generator's reasoning, as often as in co-evolution",
        True,
    ),
    Variant(
        "without_reasoning",
        "without reasoning",
        "one model after SFT on the golden responses of the cold start, with its settings",
        False,
    ),
    Variant(
        "without_reasoning_same_data",
        "without reasoning, same data",
        "that model after SFT on the golden responses of co-evolution too, as often as in co-evolution",
        False,
    ),
    Variant("untrained", "untrained", "the base model, without reasoning", False),
)


@dataclass(frozen=True)
class Evaluation:
    """One variant on the samples that a fold held out."""

    likelihoods: Mapping[str, AnswerLikelihood | None]
    """Sample ID -> log p of the golden response; None where prompt and response do not fit the context."""
    reasonings: Sequence[Reasoning] | None
    """What the policy model was shown; None for a variant without reasoning."""


@dataclass(frozen=True)
class FoldEvaluation:
    """All variants on the samples that a fold held out."""

    number: int
    samples: tuple[Sample, ...]
    variants: Mapping[str, Evaluation]
    notes: tuple[str, ...]
    """What did not go as planned in the fold's co-evolution."""


@dataclass(frozen=True)
class FoldAblation:
    """Makes and evaluates the variants of one fold."""

    training: EstimatorTraining
    number: int
    folder: Path
    """Of its own: what lies in the training's folder belongs to the estimator."""

    def run(self) -> FoldEvaluation:
        """Train the fold and the variants and evaluate them, going on from what an interrupted run left.

        Raises:
            ValueError: the training has no folds, so that nothing is held out.
        """
        samples = held_out(self.training, self.number)
        loop = self.training.loop(self.number)
        found = {}
        with loop.runner.progress.task("co-evolution and variants", 1 + len(VARIANTS), alike=False) as passed:
            outcome = loop.run()
            passed()
            runner = replace(loop.runner, folder=self.folder, seed=derive_seed(loop.runner.seed, "ablation"))
            work = _Work(loop, outcome, runner, samples)
            for variant in VARIANTS:
                found[variant.name] = work.evaluation(variant)
                passed()
        return FoldEvaluation(self.number, samples, found, outcome.notes)


def held_out(training: EstimatorTraining, number: int) -> tuple[Sample, ...]:
    """Return all samples that a fold is not trained on; ValueError where the training has no folds."""
    if training.folds is None:
        raise ValueError("without folds every sample is trained on, so there is nothing to evaluate on")
    held = training.folds.held_out(number)
    return tuple(s for samples in training.data.subsets.values() for s in samples if s.sample_id in held)


@dataclass(frozen=True)
class _Work:
    loop: FoldLoop
    outcome: FoldOutcome
    runner: PhaseRunner
    samples: Sequence[Sample]
    """Those held out."""

    def evaluation(self, variant: Variant) -> Evaluation:
        policy = self._policy(variant.name)
        if not variant.reasoning:
            prompts = [self.runner.renderer.render(PLAIN, sample) for sample in self.samples]
            return Evaluation(self._likelihoods(variant.name, policy, prompts), None)
        pair = self.outcome.pair if variant.name == FULL else self.outcome.cold
        written = self._written(pair.generator, self.samples, "held-out")
        texts = [one.shown for one in written]
        prompts = [
            self.runner.renderer.render(POLICY, sample, reasoning=text)
            for sample, text in zip(self.samples, texts, strict=True)
        ]
        return Evaluation(self._likelihoods(variant.name, policy, prompts), written)

    def _policy(self, variant: str) -> Path | None:
        """Return the adapter that scores, trained if it is not there yet; None for the base model."""
        cold = self.outcome.cold.policy
        policies: dict[str, Callable[[], Path | None]] = {
            FULL: lambda: self.outcome.pair.policy,
            "without_corl": lambda: cold,
            "without_rl": lambda: self._imitated(variant, cold, reasoning=True),
            "without_reasoning": self._without_reasoning,
            "without_reasoning_same_data": lambda: self._imitated(variant, self._without_reasoning(), reasoning=False),
            "untrained": lambda: None,
        }
        return policies[variant]()

    def _without_reasoning(self) -> Path:
        runner, samples = below(self.runner, "without_reasoning"), self.loop.data.cold_start.samples
        return runner.imitate("1-sft", lambda: self._rows(samples), self.loop.settings.cold_start, adapter=None)

    def _imitated(self, name: str, start: Path, *, reasoning: bool) -> Path:
        """Train an adapter further on the samples of co-evolution, once for each iteration that the fold finished."""
        runner, samples, adapter = below(self.runner, name), self.loop.data.evolve, start

        def rows() -> list[TrainingRow]:
            return self._rows(samples, self._written(self.outcome.cold.generator, samples, "evolve"))

        made = rows if reasoning else lambda: self._rows(samples)
        for number in range(1, self.outcome.iterations + 1):
            adapter = runner.imitate(f"{number}-sft", made, self.loop.settings.imitation, adapter=adapter)
        return adapter

    def _rows(self, samples: Sequence[Sample], written: Sequence[Reasoning] | None = None) -> list[TrainingRow]:
        template = PLAIN if written is None else POLICY
        shown = None if written is None else [one.shown for one in written]
        return training_rows(samples, self.runner.renderer, template, self.loop.chat, reasonings=shown)

    def _written(self, generator: Path, samples: Sequence[Sample], what: str) -> list[Reasoning]:
        """Return a generator's reasoning from the cache, which is named by the generator's place in the training."""
        runner, settings = self.runner, reasoning_settings(self.loop.settings)
        cache = ReasoningCache(runner.folder / "reasoning" / f"{generator.parent.parent.name}-{what}.jsonl")
        load = partial(load_causal_lm, runner.base, dtype=runner.dtype, device=runner.device, adapters=[generator])
        with runner.progress.task(f"reasoning of {generator.parent.parent.name}", len(samples)) as advance:
            return read_or_write_reasonings(load, samples, runner.renderer, settings, cache, advance)

    def _likelihoods(
        self, name: str, policy: Path | None, prompts: Sequence[Prompt]
    ) -> dict[str, AnswerLikelihood | None]:
        """Return the likelihood of each held-out sample's golden response; one that is in the file stays as it is."""
        path = self.runner.folder / "likelihoods" / f"{name}.jsonl"
        known = {row["sample_id"]: row["golden"] for row in read_appended_jsonl(path)}
        left = [(s, p) for s, p in zip(self.samples, prompts, strict=True) if s.sample_id not in known]
        if left:
            scorer = self._scorer(policy)
            with self.runner.progress.task(f"likelihoods of {name}", len(left)) as advance:
                for sample, prompt in left:
                    golden = known[sample.sample_id] = _golden(scorer, sample, prompt)
                    append_jsonl(path, {"sample_id": sample.sample_id, "golden": golden})
                    advance()
            del scorer
            release_memory()
        return {key: None if golden is None else AnswerLikelihood(**golden) for key, golden in known.items()}

    def _scorer(self, policy: Path | None) -> LikelihoodScorer:
        runner, adapters = self.runner, [] if policy is None else [policy]
        lm = load_causal_lm(runner.base, dtype=runner.dtype, device=runner.device, adapters=adapters)
        batch_tokens = self.loop.settings.reasoning_rl.reward_batch_tokens
        return LikelihoodScorer(lm, batch_tokens=batch_tokens, setting=REWARD_SETTING)


def _golden(scorer: LikelihoodScorer, sample: Sample, prompt: Prompt) -> dict[str, float | int] | None:
    """Return log p of the golden response and of its end of turn, as a line of the file has it."""
    response = encode_response(scorer.lm, sample.golden_response, ended=True)
    (found,) = answer_likelihoods(scorer, [prompt], response.ids, sample_id=sample.sample_id)
    return None if found is None else {"sum_log_prob": found.sum_log_prob, "tokens": found.tokens}
