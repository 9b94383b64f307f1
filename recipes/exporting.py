"""A trained policy taken out of a run as a model of its own: base and adapters merged, with the tokenizer."""

from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import Mistake, UserMistakes, nearest
from benchmark.run_store import DONE, read_json
from rpm_methods.artifact import PolicyArtifact, read_artifact
from rpm_methods.policy import adapter_folders, base_of
from scoring.models.merged_weights import write_merged
from scoring.models.precision import DTYPES, choose_dtype, default_device

POLICY = "policy/"


@dataclass(frozen=True)
class Exported:
    """A policy as it was written."""

    artifact: PolicyArtifact
    folder: Path
    dtype: str


def export_policy(run: Path, name: str, out: Path, *, dtype: str = "auto") -> Exported:
    """Write a policy of a run, finished or not, into a folder that other engines load.

    Args:
        run: the run directory.
        name: the method as the run names it; or the folder of its training in `stages/`, where it was trained more
            than once.
        out: where to; it may not hold anything yet.
        dtype: "bfloat16", "float32", or "auto" for the run's own.

    Raises:
        UserMistakes: there is no such policy or more than one, the folder is not empty, or the run's weights are
            quantised and no format is given.
        RunFailure: weights cannot be read, or the disk is full.
    """
    mistakes = []
    found = _trained(run).get(name, [])
    if not found:
        mistakes.append(Mistake(name, f"{run} holds no finished policy of this name", _known(run, name)))
    if len(found) > 1:
        listed = ", ".join(folder.name for folder in found)
        mistakes.append(Mistake(name, f"{run} holds several policies of this name", f"name one's folder: {listed}"))
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        mistakes.append(Mistake(str(out), "is there already", "give a new folder"))
    if dtype not in ("auto", *DTYPES):
        mistakes.append(Mistake("--dtype", f"unknown number format '{dtype}'", nearest(dtype, ["auto", *DTYPES])))
    if mistakes:
        raise UserMistakes(mistakes)
    artifact, chosen = read_artifact(found[0]), _dtype(run, dtype)
    write_merged(base_of(artifact), adapter_folders(artifact), chosen, out)
    return Exported(artifact, out, chosen)


def _trained(run: Path) -> dict[str, list[Path]]:
    """Return the folders of all finished trainings by the method's name and by their own.

    Under a method's name the one that the manifest names stands alone, whatever other settings have left.
    """
    manifest = run / "manifest.json"
    last = {stage["name"]: stage["key"] for stage in read_json(manifest)["stages"]} if manifest.is_file() else {}
    found: dict[str, list[Path]] = {}
    for path in sorted(run.glob(f"stages/*/{DONE}")):
        record = read_json(path)
        name = record["name"]
        if not name.startswith(POLICY):
            continue
        found[path.parent.name] = [path.parent]
        if last.get(name, record["key"]) == record["key"]:
            found.setdefault(name.removeprefix(POLICY), []).append(path.parent)
    return found


def _known(run: Path, name: str) -> str:
    known = [known for known, folders in _trained(run).items() if known != folders[0].name]
    return nearest(name, known) if known else "train it first: rpm-methods run RECIPE --out DIR"


def _dtype(run: Path, dtype: str) -> str:
    """Return the format to write: as given, else the run's, else the one that a run would take here."""
    manifest = run / "manifest.json"
    if dtype != "auto":
        return dtype
    if not manifest.is_file():
        return choose_dtype("auto", default_device())
    used = str(read_json(manifest)["compute"]["dtype"])
    if used not in DTYPES:
        problem = (
            f"the run's weights are in {used}, and a merged model has whole weights, which answer slightly otherwise"
        )
        raise UserMistakes([Mistake("--dtype", problem, "give --dtype bfloat16 if that is meant")])
    return used
