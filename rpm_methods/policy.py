"""A policy in memory, served from its artifact: samples -> prompts -> responses."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from benchmark.errors import RunFailure
from benchmark.prompts import Prompt, PromptRenderer
from benchmark.sample import Sample
from rpm_methods.artifact import PolicyArtifact
from rpm_methods.exemplars import ExemplarIndex, load_index
from scoring.models.causal_lm import CausalLM, load_causal_lm
from scoring.models.generation import Generation, Sampling, generate_batches
from scoring.models.resolver import locate_model


@dataclass(frozen=True)
class Policy:
    """A role-playing model ready to answer."""

    artifact: PolicyArtifact
    lm: CausalLM
    renderer: PromptRenderer
    exemplars: ExemplarIndex | None

    def prompts(self, samples: Sequence[Sample]) -> list[Prompt]:
        """Return the prompt of each sample, with its in-context examples where the policy uses them."""
        if self.exemplars is None:
            return [self.renderer.render(self.artifact.template, sample) for sample in samples]
        found = self.exemplars.nearest(samples)
        return [
            self.renderer.render_with_examples(self.artifact.template, sample, examples)
            for sample, examples in zip(samples, found, strict=True)
        ]

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling | None = None, *, finished: Collection[int] = ()
    ) -> Iterator[list[tuple[int, Generation]]]:
        """Yield finished batches of (index, generation); the artifact's sampling is the default."""
        return generate_batches(self.lm, prompts, sampling or self.artifact.sampling, finished=finished)


def load_policy(artifact: PolicyArtifact, *, renderer: PromptRenderer, dtype: str, device: str) -> Policy:
    """Load a policy's base model, merge its adapters in order, and read its examples.

    Raises:
        RunFailure: weights, adapters or examples cannot be read, or the base is not the one it was trained on.
    """
    location = locate_model(artifact.base_model)
    if location.fingerprint != artifact.base_fingerprint:
        raise RunFailure(
            f"{artifact.folder}: trained on other weights of {location.name} than those found; train again"
        )
    adapters = [artifact.folder / adapter for adapter in artifact.adapters]
    lm = load_causal_lm(location, dtype=dtype, device=device, adapters=adapters)
    index = load_index(artifact.folder / artifact.exemplars) if artifact.exemplars else None
    return Policy(artifact, lm, renderer, index)
