"""Judge the responses of a finished run: from a run directory and a configuration to `scores/judges.json`.

Answers lie in `judging/answers.jsonl` of the run. They are reused as long as what is asked stays the same, so judges,
methods and samples can be added later at their own cost.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from benchmark.errors import Mistake, RunFailure, UserMistakes, nearest
from benchmark.progress import Progress
from benchmark.run_store import RunStore, content_key, read_jsonl, write_json
from benchmark.sample import Sample
from benchmark.seeds import derive_seed, draw_in_order
from benchmark.spending import Limits, Prices
from benchmark.subsets import SUBSET_KEYS, TRAIN_SPLIT
from benchmark.user_lines import HALF_CHARACTER, has_half_character
from recipes.environment import settle_compute
from recipes.publishing import SAMPLES
from recipes.reading import read_config
from recipes.schema import ComputeSettings, Section
from recipes.stage import Outlook, Prospect, RunObserver
from recipes.time_left import KindTimes
from reports.run_data import RunData, read_run
from scoring.judge.answers import AnswerFile
from scoring.judge.asking import Asking, open_ledger
from scoring.judge.endpoint_judge import EndpointJudge
from scoring.judge.estimate import Estimate, estimate
from scoring.judge.judges import Judge
from scoring.judge.local_judge import LocalJudge
from scoring.judge.report import judge_report
from scoring.judge.rubric import METRICS, Metric, Question
from scoring.judge.scores import ENSEMBLE, Questionnaire, Response
from scoring.judge.settings import EndpointJudgeSettings, LocalJudgeSettings
from scoring.judge.verdict import Verdict
from scoring.models.resolver import check_model, locate_model

ANSWERS = "judging/answers.jsonl"
JUDGES = "scores/judges.json"
REPORT = "scores/judge_report.json"


class JudgingSettings(Section):
    """What a judging configuration can say."""

    endpoints: tuple[EndpointJudgeSettings, ...] = ()
    """Judges at OpenAI-compatible endpoints."""
    local: tuple[LocalJudgeSettings, ...] = ()
    """Judges on this machine."""
    metrics: tuple[Metric, ...] = Field(default=METRICS, min_length=1)
    tries: int = Field(default=2, ge=1)
    """Most answers to one question before it counts as unreadable."""
    limits: Limits = Limits()
    methods: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Names of responses to judge; null takes all."""
    subsets: tuple[Literal[SUBSET_KEYS], ...] = SUBSET_KEYS  # type: ignore[valid-type]
    samples: int | None = Field(default=None, ge=1)
    """Size of a seeded draw from each subset; null takes all."""
    resamples: int = Field(default=2000, ge=100)
    """Bootstrap resamples behind every interval."""
    seed: int = 42
    compute: ComputeSettings = ComputeSettings()
    """Where judges on this machine compute."""

    @property
    def prices(self) -> dict[str, Prices | None]:
        """Judge -> what its tokens cost, in the order of the judges."""
        return {judge.label: judge.prices for judge in self._judges}

    @property
    def _judges(self) -> list[EndpointJudgeSettings | LocalJudgeSettings]:
        return [*self.endpoints, *self.local]

    @model_validator(mode="after")
    def _judges_can_be_told_apart(self) -> "JudgingSettings":
        names = [judge.label for judge in self._judges]
        if not names:
            raise ValueError("names no judge: give endpoints or local at least one")
        if ENSEMBLE in names:
            raise ValueError(f"a judge is called '{ENSEMBLE}', which is the mean over all; give it another name")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two judges are called '{twice[0]}'; give each a name of its own")
        return self

    @model_validator(mode="after")
    def _limits_can_be_kept(self) -> "JudgingSettings":
        unpriced = [judge.label for judge in self.endpoints if judge.prices is None]
        if self.limits.money is not None and unpriced:
            raise ValueError(f"limits.money needs the prices of {', '.join(unpriced)}; or limit tokens")
        return self


@dataclass(frozen=True)
class Judging:
    """Everything checked and read, ready to ask."""

    folder: Path
    settings: JudgingSettings
    questionnaire: Questionnaire
    judges: Sequence[Judge]

    def estimate(self) -> list[Estimate]:
        """Return what is left to ask of each judge; RunFailure while another run holds the directory."""
        with RunStore(self.folder).held():
            return estimate(self.asking(), self.settings.prices)

    def asking(self) -> Asking:
        """Return all questions with the answers that are there; RunFailure when their file is damaged."""
        answers, settings = AnswerFile(self.folder / ANSWERS), self.settings
        questions = _in_drawn_order(self.questionnaire.questions, settings.seed)
        ledger = open_ledger(settings.prices, settings.limits, answers)
        return Asking(questions, self.judges, answers, settings.tries, ledger)


@dataclass(frozen=True)
class JudgedRun:
    """What judging left."""

    files: tuple[Path, ...]
    report: dict[str, Any]


def read_judging_settings(path: Path, overrides: Sequence[str]) -> JudgingSettings:
    """Read a configuration with `a.b=c` assignments laid over it.

    Raises:
        UserMistakes: all mistakes in it, with file, line and the nearest known key.
    """
    mistakes: list[Mistake] = []
    settings = read_config(JudgingSettings, path, overrides, mistakes)
    if mistakes or settings is None:
        raise UserMistakes(mistakes)
    return settings


def prepare_judging(folder: Path, config: Path, overrides: Sequence[str] = ()) -> Judging:
    """Read and check the run, the configuration and the judges' names and keys; nothing is asked.

    Raises:
        UserMistakes: in the configuration, else all those in the run and the judges.
        RunFailure: a file of the run is damaged.
    """
    settings = read_judging_settings(config, overrides)
    run = read_run(folder)
    mistakes = _mistakes(run, settings, str(config))
    judges: list[Judge] = []
    for endpoint in settings.endpoints:
        try:
            judges.append(EndpointJudge(endpoint))
        except UserMistakes as error:
            mistakes += error.mistakes
    if mistakes:
        raise UserMistakes(list(dict.fromkeys(mistakes)))
    judges += _local_judges(settings)
    return Judging(folder, settings, Questionnaire(_responses(run, settings), settings.metrics), judges)


def run_judging(judging: Judging, *, progress: Progress, observer: RunObserver) -> JudgedRun:
    """Ask what is missing, then write scores and report of all that is there.

    Raises:
        RunFailure: another run holds the directory, or a judge could not be asked to the end (its endpoint is down, the
            spend limit is reached); the files then hold what is there, and the same call goes on.
    """
    stage, settings = "judging", judging.settings
    with RunStore(judging.folder).held():
        asking = judging.asking()
        observer.planned([Outlook(stage, content_key(settings.model_dump()), Prospect.TO_RUN, None)], KindTimes())
        observer.started(stage)
        began = time.monotonic()
        asking.run(seed=settings.seed, progress=progress)
        judged = _write(judging, asking)
        if asking.stopped:
            raise RunFailure(_unfinished(asking.stopped))
        observer.finished(stage, time.monotonic() - began)
    return judged


def _unfinished(stopped: Mapping[str, str]) -> str:
    first = f"not all questions were asked; {JUDGES} holds what is there, and the same command goes on"
    return "\n".join([first, *(f"  {name}: {reason}" for name, reason in stopped.items())])


def _write(judging: Judging, asking: Asking) -> JudgedRun:
    settings = judging.settings
    by_name = {judge.name: judge for judge in judging.judges}

    def read(name: str, question: Question) -> Verdict | str:
        return asking.verdict(by_name[name], question)

    scores = list(judging.questionnaire.scores(list(by_name), read))
    report = judge_report(scores, judging.judges, asking.ledger, resamples=settings.resamples, seed=settings.seed)
    report |= {"stopped": [{"judge": name, "reason": reason} for name, reason in asking.stopped.items()]}
    write_json(judging.folder / REPORT, report)
    write_json(judging.folder / JUDGES, [score.row() for score in scores])
    return JudgedRun((judging.folder / JUDGES, judging.folder / REPORT), report)


def _mistakes(run: RunData, settings: JudgingSettings, config: str) -> list[Mistake]:
    """Return what is wrong with the run and with what the configuration says of it."""
    mistakes = []
    names = list(run.manifest["responses"])
    if not names:
        mistakes.append(Mistake(str(run.folder), "holds no responses to judge"))
    for name in settings.methods or ():
        if name not in names:
            mistakes.append(Mistake(f"{config}: methods", f"the run has no responses '{name}'", nearest(name, names)))
    if not run.samples():
        fix = "make the run again with this version: run, compare and score write it"
        mistakes.append(Mistake(str(run.folder), "has no samples.jsonl, so nothing is known of its samples", fix))
    if (run.folder / JUDGES).is_file() and not (run.folder / REPORT).is_file():
        problem = "was not written by this command and would be replaced"
        mistakes.append(Mistake(str(run.folder / JUDGES), problem, "move it away"))
    for place, judge in enumerate(settings.local):
        mistakes += check_model(judge.model, f"{config}: local.{place}.model")
    return mistakes


def _local_judges(settings: JudgingSettings) -> list[LocalJudge]:
    if not settings.local:
        return []
    compute = settle_compute(settings.compute)
    return [LocalJudge(judge, locate_model(judge.model), compute.dtype, compute.device) for judge in settings.local]


def _responses(run: RunData, settings: JudgingSettings) -> list[Response]:
    """Return the chosen responses: method by method, samples in the order of Table 20."""
    tested = [sample for sample in _samples(run) if sample.split != TRAIN_SPLIT]
    chosen: list[Sample] = []
    for key in settings.subsets:
        of_subset = [sample for sample in tested if sample.subset == key]
        chosen += draw_in_order(of_subset, settings.samples, derive_seed(settings.seed, "judge", key))
    if not chosen:
        raise UserMistakes([Mistake(str(run.folder), "has no test samples in the chosen subsets")])
    found = []
    for name, path in run.manifest["responses"].items():
        if settings.methods is None or name in settings.methods:
            texts = {row["sample_id"]: row["response"] for row in read_jsonl(run.folder / path)}
            _refuse_halves(run.folder / path, texts)
            found += [Response(name, sample, texts.get(sample.sample_id)) for sample in chosen]
    return found


def _refuse_halves(path: Path, content: object) -> None:
    if has_half_character(json.dumps(content, ensure_ascii=False)):
        raise UserMistakes([Mistake(str(path), HALF_CHARACTER, "cut texts between characters")])


def _samples(run: RunData) -> list[Sample]:
    _refuse_halves(run.folder / SAMPLES, run.samples())
    try:
        return TypeAdapter(list[Sample]).validate_python(run.samples())
    except ValidationError as error:
        raise RunFailure(f"{run.folder / SAMPLES}: is damaged ({error}); make the run again") from error


def _in_drawn_order(questions: Sequence[Question], seed: int) -> list[Question]:
    """Return the questions sample by sample, samples in a drawn order.

    Where asking stops early, what was judged is then a draw of samples with all their methods.
    """
    return sorted(questions, key=lambda q: (derive_seed(seed, "ask", q.sample.sample_id), q.sample.sample_id))
