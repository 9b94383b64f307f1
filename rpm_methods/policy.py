"""A policy, served from its artifact by any backend: samples -> prompts -> responses."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import RunFailure
from benchmark.prompts import Prompt, PromptRenderer
from benchmark.sample import Sample
from rpm_methods.artifact import PolicyArtifact
from rpm_methods.exemplars import ExemplarIndex, load_index
from scoring.models.backend_settings import BackendSettings
from scoring.models.backends import Backend, ServedModel, TransformersBackend, open_backend
from scoring.models.causal_lm import load_causal_lm
from scoring.models.generation import Batch, Sampling
from scoring.models.resolver import ModelLocation, locate_model


@dataclass(frozen=True)
class Policy:
    """A role-playing model ready to answer."""

    artifact: PolicyArtifact
    backend: Backend
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
    ) -> Iterator[Batch]:
        """Yield finished batches of (index, generation); the artifact's sampling is the default."""
        return self.backend.generate(prompts, sampling or self.artifact.sampling, finished=finished)


def load_policy(artifact: PolicyArtifact, *, renderer: PromptRenderer, dtype: str, device: str) -> Policy:
    """Load a policy into this process: its base model with its adapters merged in order, and its examples.

    Raises:
        RunFailure: weights, adapters or examples cannot be read, or the base is not the one it was trained on.
    """
    adapters = adapter_folders(artifact)
    lm = load_causal_lm(base_of(artifact), dtype=dtype, device=device, adapters=adapters)
    return Policy(artifact, TransformersBackend(lm), renderer, _examples(artifact))


@contextmanager
def served_policy(
    artifact: PolicyArtifact,
    settings: BackendSettings,
    sampling: Sampling,
    folder: Path,
    *,
    renderer: PromptRenderer,
    dtype: str,
    device: str,
) -> Iterator[Policy]:
    """Give a policy behind the backend that the settings name, which keeps in `folder` what it has to write.

    Raises:
        UserMistakes: a server has no name for the policy's model.
        RunFailure: as `load_policy`; or the engine does not start.
    """
    model = ServedModel(base_of(artifact), adapter_folders(artifact), artifact.method, dtype, device)
    with open_backend(settings, model, sampling, folder) as backend:
        yield Policy(artifact, backend, renderer, _examples(artifact))


def base_of(artifact: PolicyArtifact) -> ModelLocation:
    """Return where a policy's base model lies; RunFailure when its weights are not those it was trained on."""
    location = locate_model(artifact.base_model)
    if location.fingerprint != artifact.base_fingerprint:
        raise RunFailure(
            f"{artifact.folder}: trained on other weights of {location.name} than those found; train again"
        )
    return location


def adapter_folders(artifact: PolicyArtifact) -> list[Path]:
    """Return a policy's adapters in the order in which they are merged."""
    return [artifact.folder / adapter for adapter in artifact.adapters]


def _examples(artifact: PolicyArtifact) -> ExemplarIndex | None:
    return load_index(artifact.folder / artifact.exemplars) if artifact.exemplars else None
