"""`rpm-methods list`."""

from rich.console import Console
from rich.table import Table


def list_everything() -> None:
    """List the methods, recipes, benchmarks and models that are found.

    Example: rpm-methods list
    """
    console = Console(highlight=False)
    console.print(_methods(), _recipes(), _benchmarks(), _models(), sep="\n")


def _table(title: str, *heads: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(head, overflow="fold")
    return table


def _methods() -> Table:
    from rpm_methods.registry import methods

    table = _table("Methods", "name", "label", "family", "starts from", "trains")
    for name, method in methods().items():
        spec = method.spec
        table.add_row(name, spec.label, spec.family, spec.starts_from, "yes" if spec.trains else "no")
    return table


def _recipes() -> Table:
    from benchmark.errors import UserMistakes
    from recipes.finding import bundled_recipes
    from recipes.reading import read_recipes

    table = _table("\nRecipes", "name", "kind", "description")
    for name in bundled_recipes():
        try:
            for _, recipe in read_recipes([name], []):
                table.add_row(name, recipe.kind, recipe.description)
        except UserMistakes as error:
            table.add_row(name, "faulty", str(error.mistakes[0]))
    return table


def _benchmarks() -> Table:
    from benchmark.loading import BUNDLED

    table = _table("\nBenchmarks", "name", "source")
    for name in BUNDLED:
        table.add_row(name, "bundled")
    table.add_row("YongqiLi/RPGBench", "hub (downloaded at first use)")
    return table


def _models() -> Table:
    from benchmark.errors import UserMistakes
    from scoring.models.packaged import PACKAGED, packaged_file

    table = _table("\nModels", "name", "kind", "state")
    for name, model in PACKAGED.items():
        try:
            packaged_file(name)
            state = "installed"
        except UserMistakes as error:
            state = f"missing; {error.mistakes[0].remedy}"
        table.add_row(name, model.kind, state)
    table.add_row("owner/name, or a folder", "any", "from the hub, or from disk")
    return table
