"""`rpm-methods estimator`: make, train and look at estimators of log p(y | x, r)."""

from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from recipes.cli.ablation_command import ablation
from recipes.cli.import_command import import_adapters
from recipes.cli.run_commands import Launch, default_out
from recipes.execution import Execution, check_execution

if TYPE_CHECKING:
    from scoring.estimator import Estimator

estimator_app = typer.Typer(help="Make estimators of log p(y | x, r).", no_args_is_help=True)
estimator_app.command()(ablation)
estimator_app.command("import")(import_adapters)
Out = Annotated[Path, typer.Option("--out", help="Directory of the estimator.")]


@estimator_app.command()
def base(
    model: Annotated[str, typer.Argument(help="Packaged name, folder or hub id of a causal language model.")],
    out: Out,
    templates: Annotated[Path | None, typer.Option(help="Folder of your own prompt templates.")] = None,
) -> None:
    """Make an estimator from a language model as it is, without reasoning.

    Example: rpm-methods estimator base smollm2-135m --out estimators/smollm2
    """
    from scoring.estimator import write_base_estimator

    estimator = write_base_estimator(model, out, templates=templates)
    Console(highlight=False).print(f"{estimator.description.label}, format version 1, in {out}", markup=False)


@estimator_app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="Bundled name (small/estimator) or file of an estimator's recipe.")],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="a.b=c", help="Replace a value of the recipe; may be repeated.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Run directory; the estimator is in its `estimator`.")
    ] = None,
    launch: Launch = None,
) -> None:
    """Train an estimator by co-evolution; the same command goes on after an interruption.

    Example: rpm-methods estimator train small/estimator --out runs/estimator
    """
    from recipes.cli.showing import follow
    from recipes.estimator_run import prepare_training, run_training

    execution = Execution(launch=launch)
    check_execution(execution)
    console = Console(highlight=False)
    console.print("checking recipe, benchmark and model")
    prepared = prepare_training(recipe, overrides or [])
    folder = out or default_out(recipe)
    finished = follow(console, partial(run_training, prepared, folder, execution=execution))
    _describe(console, finished.estimator)
    console.print(
        f"\nuse it by `estimator: {finished.estimator.folder}` in recipes, or `--estimator` of score", markup=False
    )


@estimator_app.command()
def info(folder: Annotated[Path, typer.Argument(help="Directory of an estimator.")]) -> None:
    """Show what an estimator is, how it was trained, and whether it is whole.

    Example: rpm-methods estimator info runs/estimator/estimator
    """
    from scoring.estimator import read_estimator

    _describe(Console(highlight=False), read_estimator(folder))


def _describe(console: Console, estimator: "Estimator") -> None:
    description = estimator.description
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in _facts(estimator):
        table.add_row(name, value)
    console.print(table)
    for note in description.notes:
        console.print(f"note: {note}", markup=False)


def _facts(estimator: "Estimator") -> list[tuple[str, str]]:
    """Return (name, value) of what one wants to know of an estimator."""
    description, reasoning = estimator.description, estimator.description.reasoning_settings
    facts = [
        ("estimator", description.label),
        ("directory", str(estimator.folder)),
        ("base model", f"{description.base_model} ({description.base_fingerprint[:12]})"),
        ("content", estimator.content_hash[:12]),
    ]
    if reasoning is None:
        return [*facts, ("reasoning", "none")]
    limit = f"{reasoning.template}, at most {reasoning.max_new_tokens} tokens"
    facts += [("reasoning", limit), ("made with version", description.project_version or "unknown")]
    if estimator.assignments:
        sizes = Counter(estimator.assignments.values())
        shares = ", ".join(f"fold {fold} scores {sizes[fold]}" for fold in sorted(sizes))
        facts.append(("samples it was fitted on", f"{len(estimator.assignments)}: {shares}; others by fold 0"))
    for number, fold in enumerate(description.folds):
        stacks = f"{len(fold.generator)} + {len(fold.policy)} adapters (generator {fold.generator_hash[:12]}, "
        facts.append((f"fold {number}", f"{stacks}policy model {fold.policy_hash[:12]})"))
    named = ("fit_on", "folds", "seed")
    return facts + [(key, str(description.settings[key])) for key in named if key in description.settings]
