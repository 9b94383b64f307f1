"""Score responses made elsewhere: from a file of responses to the same scores and tables as a comparison."""

from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import UserMistakes
from benchmark.loading import load_benchmark
from benchmark.progress import Progress
from benchmark.run_store import RunStore, content_key, write_jsonl
from recipes.environment import settle_compute
from recipes.execution import ON_THIS_DEVICE, Execution
from recipes.executor import open_executor
from recipes.given_responses import GivenResponses, read_given_responses
from recipes.manifest import write_score_manifest
from recipes.publishing import publish_samples, publish_scores
from recipes.run import FinishedRun
from recipes.schema import ScoreSettings
from recipes.scoring_plan import ResponseSource, ScoringInputs, ScoringPlanner
from recipes.stage import RunObserver
from recipes.stage_estimator import ESTIMATOR
from recipes.stage_scores import ScoredMethod
from recipes.subset_pairs import check_arithmetic
from reports.tables.table20 import write_table20
from scoring.estimator import read_estimator
from scoring.models.resolver import check_model


@dataclass(frozen=True)
class Scoring:
    """Responses made elsewhere, checked and ready to be scored."""

    given: GivenResponses
    inputs: ScoringInputs
    settings: ScoreSettings


def prepare_scoring(responses: Path, benchmark: str, estimator: Path, settings: ScoreSettings) -> Scoring:
    """Read and check everything before anything heavy runs.

    Raises:
        UserMistakes: in the benchmark, else all those in the responses, the estimator and the embedding's name.
    """
    loaded = load_benchmark(benchmark)
    mistakes = check_model(settings.scoring.embedding, "scoring.embedding")
    given = None
    try:
        given = read_given_responses(responses, loaded)
    except UserMistakes as error:
        mistakes += error.mistakes
    try:
        found = read_estimator(estimator)
        mistakes += check_model(found.description.base_model, f"{estimator}: base_model")
        mistakes += check_arithmetic(found.n_folds, settings.scoring.arithmetic, str(estimator))
    except UserMistakes as error:
        mistakes += error.mistakes
    if mistakes or given is None:
        raise UserMistakes(mistakes)
    inputs = ScoringInputs(
        estimator=estimator,
        templates=None,
        template_hash="",
        train=loaded.train if settings.scoring.gaussian_baseline else (),
        whole_test={key: loaded.test[key] for key in given.test},
        test=given.test,
        settings=settings.scoring,
        seed=settings.seed,
    )
    return Scoring(given, inputs, settings)


def run_scoring(
    scoring: Scoring,
    out: Path,
    *,
    progress: Progress,
    observer: RunObserver,
    execution: Execution = ON_THIS_DEVICE,
    command: str = "",
) -> FinishedRun:
    """Run all stages that are not done yet, then write scores, manifest and tables.

    Args:
        scoring: what to score.
        out: the run directory.
        progress: told of the units of work within a stage.
        observer: told of the stages.
        execution: where the stages run.
        command: what makes the run again, for the manifest.

    Raises:
        RunFailure: a stage failed; what was finished stays, and the same call goes on from it.
    """
    for note in scoring.given.notes:
        observer.note(note)
    compute = settle_compute(scoring.settings.compute)
    store = RunStore(out)
    with store.held():
        sources = [_source(method, rows, out) for method, rows in scoring.given.rows.items()]
        with open_executor(execution, compute, store, progress, observer) as executor:
            planner = ScoringPlanner(scoring.inputs, compute, store, executor.progress)
            folders, records = executor.run(planner.stages(sources), store, observer)
        publish_samples(scoring.inputs.train, scoring.inputs.test, out)
        publish_scores(folders, out)
        description = read_estimator(folders["estimator"] / ESTIMATOR).description
        names = list(scoring.given.rows)
        write_score_manifest(
            out, scoring.inputs, names, scoring.settings, compute, records, description, command, executor.facts
        )
        return FinishedRun(out, records, write_table20(out))


def _source(method: str, rows: list[dict[str, object]], out: Path) -> ResponseSource:
    """Keep a method's responses in the run, so that it stays whole without the user's file."""
    path = out / "responses" / f"{method}.jsonl"
    write_jsonl(path, rows)
    return ResponseSource(ScoredMethod(None, method, method), path, content_key(rows))
