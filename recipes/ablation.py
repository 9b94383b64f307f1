"""The ablation of an estimator that a recipe describes: its folds trained or reused, variants evaluated, files written.

It works in a run directory. In that of `estimator train` the folds that are trained there are reused, and the other way
round.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from benchmark.errors import Mistake, UserMistakes
from benchmark.progress import Progress
from benchmark.prompts import PromptRenderer
from benchmark.run_store import RunStore
from benchmark.seeds import derive_seed
from corl.ablation import Ablation, compare_variants
from corl.ablation_variants import FoldAblation
from corl.estimator_training import TRAINING, EstimatorTraining
from corl.phases import phase_records
from recipes.ablation_report import write_ablation
from recipes.environment import package_versions, settle_compute, stage_key
from recipes.prepared_estimator import PreparedEstimator, prepare_estimator, read_estimator_recipe
from recipes.publishing import publish_estimator_training
from recipes.quantized_weights import refuse_for_training
from recipes.schema import CoRLEstimatorRecipe
from recipes.stage import RunObserver, Stage, StageReport, run_stages
from recipes.stage_estimator import ESTIMATOR, estimator_training, training_stage
from reports.training.page import write_training_report


@dataclass(frozen=True)
class PreparedAblation:
    """A recipe made ready, and the folds that are compared."""

    estimator: PreparedEstimator
    folds: tuple[int, ...]


@dataclass(frozen=True)
class FinishedAblation:
    """What an ablation left."""

    ablation: Ablation
    files: list[Path]
    """The Markdown page first."""


def prepare_ablation(name: str, overrides: Sequence[str], folds: Sequence[int] = ()) -> PreparedAblation:
    """Read and check a recipe and all that it names, before anything heavy runs.

    Args:
        name: of the recipe.
        overrides: settings to replace.
        folds: numbers of the folds to train and to evaluate on; all where none is given.

    Raises:
        UserMistakes: all mistakes found, among them a recipe that holds nothing out or has no co-evolution.
    """
    recipe = read_estimator_recipe(name, overrides)
    mistakes = _faults(recipe, folds)
    try:
        prepared = prepare_estimator(recipe, PromptRenderer(recipe.templates))
        refuse_for_training(prepared)
    except UserMistakes as error:
        raise UserMistakes([*mistakes, *error.mistakes]) from error
    if mistakes:
        raise UserMistakes(mistakes)
    return PreparedAblation(prepared, tuple(sorted(set(folds))) or tuple(range(recipe.folds or 0)))


def _faults(recipe: CoRLEstimatorRecipe, folds: Sequence[int]) -> list[Mistake]:
    mistakes = []
    if recipe.folds is None:
        problem = "is null, so that every response is trained on and none is left to compare variants on"
        mistakes.append(Mistake("estimator recipe: folds", problem, "set it to 2 or more (--set folds=2)"))
    else:
        last = recipe.folds - 1
        absent = [number for number in folds if not 0 <= number <= last]
        mistakes += [Mistake("--fold", f"there is no fold {n}", f"the recipe has folds 0 to {last}") for n in absent]
    if recipe.config.iterations == 0:
        problem = "is 0, so that there is no co-evolution to compare with"
        mistakes.append(Mistake("estimator recipe: config.iterations", problem, "set it to 1 or more"))
    return mistakes


def run_ablation(
    prepared: PreparedAblation, out: Path, *, progress: Progress, observer: RunObserver
) -> FinishedAblation:
    """Train and evaluate the variants of each fold, or go on with them, and write what is found below `out`.

    Raises:
        RunFailure: a training failed; what was finished stays, and the same call goes on from it.
    """
    recipe = prepared.estimator.recipe
    compute = settle_compute(recipe.compute)
    store = RunStore(out)
    with store.held():
        trained = training_stage(prepared.estimator, compute, store, progress)
        folder = store.make_stage_folder(trained.name, trained.key)
        training = estimator_training(prepared.estimator, compute, folder, store.folder / "teacher", progress)
        seed = derive_seed(recipe.seed, "ablation")
        stages = {
            number: Stage(
                f"ablation/fold-{number}",
                stage_key("ablation", [trained.key, number], seed, compute),
                partial(_evaluate, training, number),
            )
            for number in prepared.folds
        }
        folders, _ = run_stages(list(stages.values()), store, observer)
        evaluated = [FoldAblation(training, number, folders[stage.name]).run() for number, stage in stages.items()]
        ablation = compare_variants(evaluated, seed=seed)
        facts = {
            "recipe": recipe.model_dump(mode="json"),
            "base_model": recipe.model,
            "n_folds": recipe.folds,
            "compute": asdict(compute),
            "package_versions": package_versions(),
            "seed": recipe.seed,
        }
        publish_estimator_training(folder, out)
        written = write_training_report(out)
        places = [out / "figures" / "training" / ESTIMATOR / f"fold-{number}.svg" for number in prepared.folds]
        curves = [path for path in places if path in written]
        return FinishedAblation(ablation, [*write_ablation(out, ablation, facts, curves), *curves])


def _evaluate(training: EstimatorTraining, number: int, folder: Path) -> StageReport:
    """Train the fold and its variants and evaluate them; tokens are those of all these trainings."""
    found = FoldAblation(training, number, folder).run()
    parts = [*phase_records(training.folder / TRAINING / f"fold-{number}"), *phase_records(folder)]
    unscored = {
        f"unscored_{name}": sum(one is None for one in variant.likelihoods.values())
        for name, variant in found.variants.items()
    }
    counts = {"samples": len(found.samples), **unscored}
    return StageReport(tokens=sum(part["tokens"] for part in parts), counts=counts, parts=parts)
