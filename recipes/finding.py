"""From what the user names to recipe files: bundled recipes by name from any directory, files, folders."""

from pathlib import Path

from benchmark.errors import Mistake, UserMistakes, nearest

BUNDLED_FOLDER = Path(__file__).parent
LAUNCH_FOLDER = BUNDLED_FOLDER / "accelerate"
"""Holds no recipes but configurations of accelerate's."""


def bundled_recipes() -> dict[str, Path]:
    """Return every bundled recipe by name ("demo/sft"); files that begin with "_" only serve `extends`."""
    files = sorted(path for path in BUNDLED_FOLDER.rglob("*.yaml") if path.parent != LAUNCH_FOLDER)
    return {_name(path): path for path in files if not path.name.startswith("_")}


def bundled_launches() -> dict[str, Path]:
    """Return every bundled configuration that `--launch` can take, by name ("ddp")."""
    return {path.stem: path for path in sorted(LAUNCH_FOLDER.glob("*.yaml"))}


def find_recipes(names: list[str]) -> list[Path]:
    """Return the recipe files behind names, files and folders, in the order given.

    Raises:
        UserMistakes: every name that leads nowhere.
    """
    found: list[Path] = []
    mistakes: list[Mistake] = []
    for name in names:
        files = _files(name)
        if not files:
            problem = "no such recipe: not a bundled name, a file or a folder with recipes"
            mistakes.append(Mistake(name, problem, nearest(name, list(bundled_recipes()))))
        found += files
    if mistakes:
        raise UserMistakes(mistakes)
    return list(dict.fromkeys(found))


def find_extended(name: str, beside: Path) -> Path | None:
    """Return the recipe that `extends` names: beside the recipe that says so, or bundled; None if there is none."""
    candidates = (beside.parent / name, beside.parent / f"{name}.yaml", BUNDLED_FOLDER / f"{name}.yaml")
    return next((path for path in candidates if path.is_file()), None)


def _name(path: Path) -> str:
    return path.relative_to(BUNDLED_FOLDER).with_suffix("").as_posix()


def _files(name: str) -> list[Path]:
    bundled = BUNDLED_FOLDER / name.removeprefix("recipes/").strip("/")
    for path in (Path(name), bundled, bundled.with_name(f"{bundled.name}.yaml")):
        if LAUNCH_FOLDER in (path, path.parent):
            continue
        if path.is_file():
            return [path]
        if path.is_dir() and (files := sorted(p for p in path.glob("*.yaml") if not p.name.startswith("_"))):
            return files
    return []
