"""In-context learning: the base model with the nearest training samples as solved examples (Appendix E.1)."""

from collections.abc import Mapping, Sequence

from pydantic import Field

from benchmark.errors import Mistake, UserMistakes
from benchmark.prompts import PromptRenderer
from benchmark.sample import Sample
from rpm_methods.artifact import PolicyArtifact
from rpm_methods.exemplars import build_index
from rpm_methods.method import MethodConfig, MethodSpec, TrainContext


class ICLConfig(MethodConfig):
    """Settings of in-context learning; the paper takes five examples by Qwen3-Embedding-0.6B."""

    examples: int = Field(default=5, ge=1)
    embedding_model: str = "minilm"

    def faults(self, samples: Sequence[Sample], renderer: PromptRenderer) -> list[Mistake]:
        """Return a mistake where there are fewer training samples than examples wanted."""
        if len(samples) >= self.examples:
            return []
        problem = f"wants {self.examples} examples, and there are {len(samples)} training samples"
        return [Mistake("config.examples", problem)]


class InContextLearning:
    """Trains nothing: it indexes the training samples, and each prompt gets those nearest to it."""

    spec = MethodSpec(
        name="icl",
        label="ICL",
        family="icl",
        order=10,
        starts_from="base",
        produces_reasoning=False,
        trains=False,
    )
    config_type = ICLConfig

    def models_needed(self, config: ICLConfig) -> Mapping[str, str]:
        """Return the embedding model."""
        return {"embedding_model": config.embedding_model}

    def train(self, config: ICLConfig, context: TrainContext) -> PolicyArtifact:
        """Embed the training samples and keep them as the index of examples.

        Raises:
            UserMistakes: there are fewer training samples than examples wanted.
        """
        if faults := config.faults(context.samples, context.renderer):
            raise UserMistakes(faults)
        with context.progress.task("embed the training samples", 1) as advance:
            build_index(context.samples, config.embedding_model, config.examples).save(context.folder / "exemplars")
            advance()
        return PolicyArtifact(
            folder=context.folder,
            method=self.spec.name,
            base_model=context.base.name,
            base_fingerprint=context.base.fingerprint,
            template="response",
            sampling=context.sampling,
            seed=context.seed,
            exemplars="exemplars",
        ).write()
