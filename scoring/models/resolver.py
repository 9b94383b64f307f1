"""From the name of a model in a recipe to the folder that holds it: packaged, local, or on the hub."""

from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import Mistake, RunFailure, UserMistakes, nearest
from scoring.models.cache import folder_fingerprint
from scoring.models.packaged import PACKAGED, packaged_file, packaged_folder

HUB_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "*/config.json")


@dataclass(frozen=True)
class ModelLocation:
    """A model found: the name it was asked for by, its folder, and a hash of what is in it."""

    name: str
    folder: Path
    fingerprint: str
    """SHA-256 of the contents, or the commit on the hub."""


def check_model(name: str, where: str) -> list[Mistake]:
    """Return what is wrong with a model's name, without loading or downloading weights; `where` names the key."""
    try:
        if name in PACKAGED:
            packaged_file(name)
        elif Path(name).is_dir():
            _check_folder(Path(name))
        elif _is_hub_id(name):
            _check_hub(name)
        else:
            problem = f"no model '{name}': not a packaged model, a folder or a hub id"
            return [Mistake(where, problem, nearest(name, list(PACKAGED)))]
    except UserMistakes as error:
        return [Mistake(where, f"{m.where}: {m.problem}", m.remedy) for m in error.mistakes]
    return []


def locate_model(name: str) -> ModelLocation:
    """Return the model's folder, converting or downloading it on first use.

    Raises:
        UserMistakes: no such model.
        RunFailure: it exists but cannot be had (disk full, hub out of reach half way).
    """
    mistakes = check_model(name, name)
    if mistakes:
        raise UserMistakes(mistakes)
    if name in PACKAGED:
        folder = packaged_folder(name)
    elif Path(name).is_dir():
        folder = Path(name)
    else:
        folder = _download(name)
        return ModelLocation(name, folder, folder.name)
    return ModelLocation(name, folder, folder_fingerprint(folder))


def _is_hub_id(name: str) -> bool:
    return name.count("/") == 1 and not name.startswith(("/", ".", "~")) and not name.endswith("/")


def _check_folder(folder: Path) -> None:
    for needed in ("config.json", "tokenizer_config.json"):
        if not (folder / needed).is_file():
            problem = f"holds no {needed}, so it is no model folder"
            raise UserMistakes([Mistake(str(folder), problem, "give the folder that save_pretrained wrote")])


def _check_hub(name: str) -> None:
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    try:
        HfApi().model_info(name, timeout=10)
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise UserMistakes([Mistake(name, "the hub has no such model, or it is private")]) from error
    except Exception as error:  # the hub's client raises many kinds when it is out of reach
        if isinstance(try_to_load_from_cache(name, "config.json"), str):
            return
        remedy = f"check the connection, give a local folder, or use one of: {', '.join(PACKAGED)}"
        problem = "the hub is out of reach and the model is not in its local cache"
        raise UserMistakes([Mistake(name, problem, remedy)]) from error


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=list(HUB_FILES)))
    except Exception as error:  # as above; whatever it was, the model is not here
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise RunFailure(f"{name} could not be downloaded ({reason}); run again to go on") from error
