"""The report as one HTML file that needs nothing else: no network, no font, no server.

Texts reach the page in three ways, each of which keeps them text: through the template, which escapes them; as JSON
whose signs of HTML are escaped; as packed chunks, which the script shows by `textContent`. Above that, the page's own
Content-Security-Policy lets only its own script and style run, by their hashes, and forbids the network.
"""

from functools import partial
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from benchmark.run_store import write_bytes
from reports.contents import Contents
from reports.page import view
from reports.page.embedding import policy_hash, script_json
from reports.page.reader import ENDINGS, FIELDS, gather_reader
from reports.table import cut

ASSETS = "assets"
SCRIPTS = ("dom", "index", "state", "views", "tables", "texts", "search", "sample", "list", "reader", "keys")
"""Files of the script, in the order in which they stand in it."""
LONGEST_TEXT = 4000
"""Characters of a text that are shown outside the reader."""
MOST_NUMBERS = 1000
"""Of a figure's numbers that the page holds; of more it names the file."""
FEW_NOTES = 4
"""Notes of a table that are shown at once."""


def write_page(contents: Contents, target: Path) -> Path:
    """Write the report as one HTML file and return its path. The same contents give the same bytes.

    Half of a surrogate pair, which is no text, is shown as the sign for a damaged character.

    Raises:
        RunFailure: the file cannot be written, or a file of the run is damaged.
    """
    write_bytes(target, _page(contents).encode("utf-8", "surrogatepass"))
    return target


def _page(contents: Contents) -> str:
    style = _asset("style.css")
    theme = _enclosed(_asset("theme.js"))
    script = _enclosed("\n".join(_asset(f"{name}.js") for name in SCRIPTS))
    reader = gather_reader(contents.run)
    return (
        _environment()
        .get_template("page.html")
        .render(
            contents=contents,
            policy=_policy(style, theme, script),
            style=Markup(style),
            theme=Markup(theme),
            script=Markup(script),
            index=script_json(reader.index),
            chunks=reader.chunks,
            n_samples=len(reader.index["samples"]),
            few_notes=FEW_NOTES,
        )
    )


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("reports.page", ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    for name in ("columns", "rows", "groups", "picture", "numbers"):
        made.filters[name] = getattr(view, name)
    made.filters["cut"] = partial(cut, most=LONGEST_TEXT)
    made.globals.update(endings=ENDINGS, fields=FIELDS, most_numbers=MOST_NUMBERS)
    return made


def _policy(style: str, *scripts: str) -> str:
    """Return the Content-Security-Policy: the page's own script and style, pictures inside it, and nothing else."""
    allowed = " ".join(map(policy_hash, scripts))
    return (
        f"default-src 'none'; img-src data:; style-src {policy_hash(style)}; script-src {allowed}; "
        "base-uri 'none'; form-action 'none'"
    )


def _asset(name: str) -> str:
    return files("reports.page").joinpath(ASSETS, name).read_text(encoding="utf-8")


def _enclosed(script: str) -> str:
    """Return a script whose names are seen by itself alone."""
    return f'\n(() => {{\n"use strict";\n{script}}})();\n'
