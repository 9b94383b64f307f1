"""The `rpm-methods` application: its commands, and the one place where errors become exit codes."""

import logging
import os
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

import typer
from rich.console import Console

from benchmark.errors import Mistake, RunFailure, UserMistakes
from benchmark.user_lines import has_half_character
from recipes.cli.agreement_command import agreement
from recipes.cli.benchmark_commands import benchmark_app
from recipes.cli.degradations_command import degradations
from recipes.cli.doctor import doctor
from recipes.cli.estimator_commands import estimator_app
from recipes.cli.export_command import export
from recipes.cli.judge_command import judge
from recipes.cli.listing import list_everything
from recipes.cli.plan_command import plan
from recipes.cli.report_command import report
from recipes.cli.run_commands import compare, run
from recipes.cli.score_command import score

app = typer.Typer(
    help="Compare training methods for role-playing language models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("list")(list_everything)
app.command()(run)
app.command()(compare)
app.command()(plan)
app.command()(score)
app.command()(report)
app.command()(export)
app.command()(judge)
app.command()(agreement)
app.command()(degradations)
app.add_typer(benchmark_app, name="benchmark")
app.add_typer(estimator_app, name="estimator")
app.command()(doctor)


def main() -> NoReturn:
    """Run the command line: exit 0 done, 1 a run failed, 2 the user's mistake."""
    _quiet_libraries()
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        _check_arguments(sys.argv[1:])
        app()
    except UserMistakes as error:
        for mistake in error.mistakes:
            errors.print(str(mistake), markup=False)
        count = len(error.mistakes)
        errors.print(f"{count} mistake{'s' if count > 1 else ''} to correct.")
        sys.exit(2)
    except RunFailure as error:
        errors.print(f"The run failed: {error}", markup=False)
        sys.exit(1)
    sys.exit(0)


def _check_arguments(arguments: Sequence[str]) -> None:
    """Refuse arguments, such as names of files, that are no text: they could be neither shown nor written down."""
    faulty = [Mistake(ascii(one), "is no text in UTF-8", "rename it") for one in arguments if has_half_character(one)]
    if faulty:
        raise UserMistakes(faulty)


def _quiet_libraries() -> None:
    """Keep the libraries' own bars and notices out of the display; errors still come through."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TQDM_DISABLE", "1")
    warnings.filterwarnings("ignore")
    for name in ("transformers", "trl", "peft", "datasets", "sentence_transformers", "huggingface_hub"):
        logging.getLogger(name).setLevel(logging.ERROR)
