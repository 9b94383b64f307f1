"""The typed form of a build's configuration: what to make, from what, with which model, and within which limits."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from benchmark.endpoint import EndpointSettings
from benchmark.spending import Limits, Prices
from benchmark.subsets import SUBSETS

SHIFT_DOMAINS = tuple(subset.tag for subset in SUBSETS if subset.shift == "character" and subset.tag is not None)
"""The domains of the character shift, named as in RPGBench."""
LANGUAGES = tuple(subset.key for subset in SUBSETS if subset.shift == "user")
"""The subset keys of the user shift, in the order of Table 20."""
REAL_DOMAINS = {
    "History": "people who really lived and ruled, explored, fought or changed their times",
    "Science": "people who really lived and are known for discoveries, inventions or medicine",
    "Arts": "people who really lived and are known for music, painting, dance, writing or design",
    "Sports": "people who really lived and are known for a sport, an expedition or a game",
}


class Section(BaseModel):
    """Base of all sections: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class WriterSettings(EndpointSettings):
    """The model that writes the benchmark. The paper's are Qwen3-235B-A22B and Claude 3.7 Sonnet."""

    temperature: float = Field(default=0.7, ge=0)
    max_tokens: int = Field(default=4096, ge=1)
    json_schema: bool = False
    """Whether the endpoint takes `response_format` with a JSON schema. Answers are validated either way."""

    @model_validator(mode="after")
    def _one_response_format(self) -> "WriterSettings":
        if self.json_schema and "response_format" in self.extra_body:
            raise ValueError("with json_schema, extra_body may not hold response_format")
        return self


class Counts(Section):
    """How many samples to make for the training split (`train`) and for each subset."""

    train: int = Field(default=0, ge=0)
    id: int = Field(default=0, ge=0)
    german: int = Field(default=0, ge=0)
    spanish: int = Field(default=0, ge=0)
    chinese: int = Field(default=0, ge=0)
    japanese: int = Field(default=0, ge=0)
    korean: int = Field(default=0, ge=0)
    literature: int = Field(default=0, ge=0)
    film: int = Field(default=0, ge=0)
    theater: int = Field(default=0, ge=0)
    gaming: int = Field(default=0, ge=0)
    turn_level: int = Field(default=0, ge=0)
    word_level: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _can_be_made(self) -> "Counts":
        if not any(self.model_dump().values()):
            raise ValueError("all counts are 0: name at least one, such as train: 100")
        for name in ("turn_level", "word_level"):
            if getattr(self, name) > self.id:
                raise ValueError(f"{name} is {getattr(self, name)}, but composed dialogues are made from as many of id")
        return self

    def of(self, keys: tuple[str, ...]) -> dict[str, int]:
        """Return the counts of some subsets that are not 0."""
        return {key: count for key in keys if (count := getattr(self, key))}


class SeedFiles(Section):
    """The user's own seeds, as JSON lines; null takes those that come with this project."""

    personas: Path | None = None
    """`{"persona": …}` a line, and if there is one `"history"`: what such a user said before."""
    contexts: Path | None = None
    """`{"context": …}` a line: a short everyday conversation."""


class RetrievalSettings(Section):
    """Where text about a character comes from, with which its description is refined."""

    file: Path | None = None
    """`{"name": …, "text": …}` a line."""
    command: tuple[str, ...] | None = Field(default=None, min_length=1)
    """A program and its arguments, run without a shell: the character's name on standard input, the text on output."""
    timeout_seconds: float = Field(default=30.0, gt=0)
    longest: int = Field(default=8000, ge=1)
    """Characters of a text that are used; what is behind them is cut off, and counted."""
    required: bool = False
    """Whether a character of which nothing is found is set aside. If not, it is described without, and counted."""

    @model_validator(mode="after")
    def _one_source(self) -> "RetrievalSettings":
        if (self.file is None) == (self.command is None):
            raise ValueError("name either a file or a command")
        return self


class CheckSettings(Section):
    """What a sample has to meet; answers that do not are asked for once more, then set aside."""

    languages: bool = True
    """Whether the language of every text is identified."""
    most_changed_words: int = Field(default=3, ge=1)
    """Word-level: largest edit distance over words between a query and its source's."""
    least_response_change: float = Field(default=0.3, ge=0, le=1)
    """Word-level: smallest edit distance between golden responses, as a share of the longer one's words."""
    least_queries_from_each: int = Field(default=2, ge=0, le=4)
    """Turn-level: fewest user queries that come back from each of the two dialogues."""
    most_shared: float = Field(default=0.6, gt=0, le=1)
    """Largest share of runs of five words that two golden responses may have in common."""


class BuildSettings(Section):
    """Everything that a build depends on, beside the model's own chance."""

    endpoint: WriterSettings
    counts: Counts
    requests_a_minute: float | None = Field(default=None, gt=0)
    prices: Prices | None = None
    limits: Limits = Limits()
    seeds: SeedFiles = SeedFiles()
    retrieval: RetrievalSettings | None = None
    real_domains: dict[str, str] = Field(default=REAL_DOMAINS, min_length=1)
    """Domains of real people, with what each means."""
    rounds: int = Field(default=3, ge=1)
    """How often each seed persona may be asked for characters."""
    dialogues_per_pair: int = Field(default=2, ge=1)
    """In-distribution dialogues of each persona and character; turn-level composition joins two of them."""
    checks: CheckSettings = CheckSettings()
    give_up_after: int = Field(default=8, ge=1)
    """Items of one step set aside one after another before the build stops."""
    seed: int = 42

    @model_validator(mode="after")
    def _parts_fit(self) -> "BuildSettings":
        if self.limits.money is not None and self.prices is None:
            raise ValueError("limits.money needs prices")
        if self.counts.turn_level and self.dialogues_per_pair < 2:
            raise ValueError("counts.turn_level needs dialogues_per_pair of 2 or more")
        both = set(self.real_domains) & set(SHIFT_DOMAINS)
        if both:
            raise ValueError(f"real_domains may not hold {', '.join(sorted(both))}: domains of the character shift")
        return self

    def beside(self, folder: Path) -> "BuildSettings":
        """Return the settings with relative paths of files taken from a folder."""
        seeds = SeedFiles(personas=_from(folder, self.seeds.personas), contexts=_from(folder, self.seeds.contexts))
        retrieval = self.retrieval
        if retrieval is not None:
            retrieval = retrieval.model_copy(update={"file": _from(folder, retrieval.file)})
        return self.model_copy(update={"seeds": seeds, "retrieval": retrieval})


def _from(folder: Path, path: Path | None) -> Path | None:
    return None if path is None else folder / path
