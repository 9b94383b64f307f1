"""The typed form of a recipe. Every key is checked; what a method alone knows is checked by the method."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from benchmark.subsets import SUBSET_KEYS
from corl.settings import EstimatorSettings
from scoring.models.backend_settings import BackendSettings

TRAIN = "train"
"""The training split, as `fit_on` names it."""
FIT_KEYS = (TRAIN, *SUBSET_KEYS)


class Section(BaseModel):
    """Base of all recipe sections: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BenchmarkSettings(Section):
    """Which samples to train and to test on."""

    source: str = "mini"
    """Bundled name, JSON file, folder of JSON files, or hub id."""
    train_samples: int | None = Field(default=None, ge=1)
    """Size of a seeded draw from the training split; null takes all."""
    test_samples: int | None = Field(default=None, ge=1)
    """Size of a seeded draw from each test subset; null takes all."""
    subsets: tuple[Literal[SUBSET_KEYS], ...] = SUBSET_KEYS  # type: ignore[valid-type]


class GenerationSettings(BackendSettings):
    """How policies answer, and by which engine; the paper's evaluation is greedy with repetition penalty 1.05."""

    max_new_tokens: int = Field(default=256, ge=1)
    repetition_penalty: float = Field(default=1.05, gt=0)
    temperature: float = Field(default=0.0, ge=0)
    batch_tokens: int = Field(default=16384, ge=1)
    """Memory: most tokens in a generation batch."""

    @model_validator(mode="after")
    def _server_can_draw_so(self) -> "GenerationSettings":
        sent = self.server if self.backend == "server" else None
        if sent is not None and sent.dialect == "openai" and self.repetition_penalty != 1:
            raise ValueError("dialect openai has no repetition penalty: set repetition_penalty: 1, or dialect: vllm")
        return self


class ScoringSettings(Section):
    """How pairs are scored, and what is made of the scores."""

    batch_tokens: int = Field(default=1024, ge=1)
    """Memory: most response tokens in a scoring batch."""
    arithmetic: Literal["exact", "released"] = "exact"
    """"released" repeats the authors' code with its faults, to compare with their own numbers."""
    pairs: Literal["auto", "all"] = "auto"
    """"auto": all off-diagonal pairs up to 256 samples a subset, 64 drawn ones a row above. "all": always all."""
    resamples: int = Field(default=2000, ge=100)
    """Bootstrap resamples behind every interval."""
    embedding: str = "minilm"
    """Sentence-embedding model of the divergences and of the Gaussian baseline."""
    gaussian_baseline: bool = True
    """Whether to compute the baseline that R-EMI extends (`scores/baseline_emi.json`)."""
    h_hat: Literal["max", "q95"] = "max"
    """Entropy term of the bounds: the largest over the samples, as the theorem has it, or their 0.95 quantile."""
    token_log_probs: bool = False
    """Whether to write log p of every token of every response (`scores/tokens.jsonl`)."""

    @model_validator(mode="after")
    def _tokens_are_the_responses_own(self) -> "ScoringSettings":
        if self.token_log_probs and self.arithmetic == "released":
            raise ValueError("token_log_probs needs arithmetic exact: the released one scores other tokens")
        return self


class ComputeSettings(Section):
    """Where and in which number format to compute."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    quantization: Literal["none", "8bit", "4bit"] = "none"
    """Bits of the weights of policies and estimators in training, generation and scoring, by bitsandbytes on a CUDA
    device; they compute in bfloat16, and adapters stay in float32 while they are trained (QLoRA)."""
    threads: int | None = Field(default=None, ge=1)
    """Threads of CPU work; null takes one a core that this process may use."""

    @model_validator(mode="after")
    def _quantized_weights_compute_in_bfloat16(self) -> "ComputeSettings":
        if self.quantization != "none" and self.dtype == "float32":
            raise ValueError("quantised weights compute in bfloat16: leave dtype out, or set quantization: none")
        return self


class ScoreSettings(Section):
    """What `rpm-methods score` can be told by `--set`."""

    scoring: ScoringSettings = ScoringSettings()
    compute: ComputeSettings = ComputeSettings()
    seed: int = 42


class MethodRecipe(Section):
    """One method on one base model, its generations and its scores."""

    kind: Literal["method"]
    description: str = ""
    method: str
    base_model: str
    config: dict[str, Any] = Field(default_factory=dict)
    """The method's own settings."""
    start: str | None = None
    """Recipe of the method that this one starts from (DPO from SFT), beside this recipe or bundled. Without it that
    method is taken from the same comparison, else trained with its defaults."""
    estimator: str
    """Recipe of an estimator, or the directory of one."""
    benchmark: BenchmarkSettings = BenchmarkSettings()
    generation: GenerationSettings = GenerationSettings()
    scoring: ScoringSettings = ScoringSettings()
    compute: ComputeSettings = ComputeSettings()
    templates: str | None = None
    """A folder of prompt templates that replace the bundled ones of the same names."""
    seed: int = 42
    caution: str = ""
    """A line that every table made from this recipe carries."""


class EstimatorRecipe(Section):
    """An estimator to score with: what all kinds have."""

    kind: Literal["estimator"]
    description: str = ""
    estimator: str
    model: str


class BaseEstimatorRecipe(EstimatorRecipe):
    """A plain language model without reasoning."""

    estimator: Literal["base"]


class CoRLEstimatorRecipe(EstimatorRecipe):
    """A reasoning generator and a policy model, trained by co-evolution."""

    estimator: Literal["corl"]
    benchmark: BenchmarkSettings = BenchmarkSettings()
    """What is drawn to train on; by itself, whatever a comparison draws to train and test policies on."""
    fit_on: tuple[Literal[FIT_KEYS], ...] = Field(default=SUBSET_KEYS, min_length=1)  # type: ignore[valid-type]
    """The splits that the models co-evolve on: test subsets, and "train". The paper takes the evaluated ones."""
    folds: int | None = Field(default=4, ge=2)
    """Cross-fitting: each sample of `fit_on` is scored by models that saw nothing of it. Null is the paper's setting,
    in which the evaluated responses are trained on."""
    config: EstimatorSettings = EstimatorSettings()
    compute: ComputeSettings = ComputeSettings()
    """Where the estimator is trained alone; in a comparison that of its recipes is taken."""
    templates: str | None = None
    """A folder of prompt templates; in a comparison that of its recipes is taken."""
    seed: int = 42

    @model_validator(mode="after")
    def _folds_have_subsets(self) -> "CoRLEstimatorRecipe":
        if self.folds is not None and set(self.fit_on) == {TRAIN}:
            raise ValueError("training samples are never scored, so there is nothing to make folds of; set folds: null")
        return self

    @model_validator(mode="after")
    def _measured_where_held_out(self) -> "CoRLEstimatorRecipe":
        if self.folds is None and "held_out" in self.config.model_fields_set:
            raise ValueError("without folds nothing is held out: leave config.held_out out, or set folds")
        return self


class ComparisonRecipe(Section):
    """Several recipes under one name."""

    kind: Literal["comparison"]
    description: str = ""
    recipes: tuple[str, ...] = Field(min_length=1)


Recipe = MethodRecipe | EstimatorRecipe | ComparisonRecipe
RecipeType = type[MethodRecipe] | type[EstimatorRecipe] | type[ComparisonRecipe]
KINDS: dict[str, RecipeType] = {
    "method": MethodRecipe,
    "estimator": EstimatorRecipe,
    "comparison": ComparisonRecipe,
}
ESTIMATORS: dict[str, type[EstimatorRecipe]] = {"base": BaseEstimatorRecipe, "corl": CoRLEstimatorRecipe}
"""By the value of `estimator`."""
