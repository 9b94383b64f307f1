"""In-context learning: the base model with the nearest training samples as solved examples (Appendix E.1)."""

from collections.abc import Mapping

from pydantic import Field

from benchmark.errors import Mistake, UserMistakes
from rpm_methods.artifact import PolicyArtifact
from rpm_methods.exemplars import build_index
from rpm_methods.method import MethodConfig, MethodSpec, TrainContext


class ICLConfig(MethodConfig):
    """Settings of in-context learning; the paper takes five examples by Qwen3-Embedding-0.6B."""

    examples: int = Field(default=5, ge=1)
    embedding_model: str = "minilm"


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
        if len(context.samples) < config.examples:
            problem = f"wants {config.examples} examples, and there are {len(context.samples)} training samples"
            raise UserMistakes([Mistake("config.examples", problem)])
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
