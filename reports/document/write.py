"""The report as a PDF, typeset by typst from a template and one file of data; the same contents give the same bytes.

Fonts are those that typst carries, matplotlib's DejaVu Sans and one for Chinese, Japanese and Korean; others that a
system has are left out, so that a document does not depend on where it is made. Only what is used is embedded.
"""

from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import typst

from benchmark.run_store import write_bytes, write_json
from reports.contents import Contents
from reports.document.flow import Flow, headed, pages
from reports.document.texts import glyph_note, typesettable
from reports.fonts import figure_families, figure_fonts

TEMPLATES = ("report.typ", "style.typ", "table.typ", "case.typ")
TEXT_FONT, CODE_FONT = "Libertinus Serif", "DejaVu Sans Mono"
"""Carried by typst."""


def write_document(contents: Contents, target: Path) -> Path:
    """Write the report as a PDF and return its path.

    Raises:
        RunFailure: the disk is full or the place cannot be written.
    """
    with TemporaryDirectory() as name:
        source = prepare_source(contents, Path(name))
        document = typst.compile(source, root=source.parent, format="pdf", font_paths=linked_fonts(source.parent))
    write_bytes(target, document)
    return target


def prepare_source(contents: Contents, folder: Path) -> Path:
    """Write what typst reads into a folder, templates, figures and data, and return the main template."""
    for name in TEMPLATES:
        (folder / name).write_bytes(files(__package__).joinpath(name).read_bytes())
    write_json(folder / "data.json", document_data(contents, folder))
    return folder / TEMPLATES[0]


def document_data(contents: Contents, folder: Path) -> dict[str, Any]:
    """Return what the template lays out; figures are written into the folder."""
    data, lacking = typesettable(Flow(folder).report(contents), figure_fonts())
    if lacking:
        note = {"kind": "text", "wide": False, "text": glyph_note(lacking)}
        data["pages"] += pages([*headed("Characters without a glyph", [note])])
    fallbacks = figure_families()
    return {**data, "fonts": [TEXT_FONT, *fallbacks], "code_fonts": [CODE_FONT, *fallbacks]}


def linked_fonts(folder: Path) -> typst.Fonts:
    """Return the document's fonts; typst wants folders, so links to the files are put into one."""
    links = folder / "fonts"
    links.mkdir()
    for path in figure_fonts():
        (links / path.name).symlink_to(path.resolve())
    return typst.Fonts(include_system_fonts=False, font_paths=[links])
