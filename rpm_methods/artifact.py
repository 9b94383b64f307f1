"""The policy artifact: a directory that says how to serve a trained policy with any backend."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmark.errors import RunFailure
from benchmark.run_store import content_key, read_json, write_json
from scoring.models.generation import Sampling

FORMAT_VERSION = 1
DESCRIPTION = "policy.json"


@dataclass(frozen=True)
class PolicyArtifact:
    """What `policy.json` says; paths are relative to the artifact's folder."""

    folder: Path
    method: str
    base_model: str
    base_fingerprint: str
    template: str
    """Name of the prompt template that the policy answers under."""
    sampling: Sampling
    seed: int
    adapters: tuple[str, ...] = ()
    """LoRA adapters (safetensors) in the order in which they are merged."""
    exemplars: str | None = None
    """Folder of the index of in-context examples, if the policy uses any."""
    training_tokens: int = 0
    """Tokens that went through the model in training, padding left out."""
    training_counts: dict[str, int] = field(default_factory=dict)
    """What training counted beside them: steps, those without a reward to learn from, …"""
    thinking: bool = False
    """Whether its answers hold thinking and response between the tags of the template."""

    @property
    def content_hash(self) -> str:
        """SHA-256 of the description, without the place where it lies."""
        return content_key(self._plain())

    def _plain(self) -> dict[str, object]:
        plain = asdict(self)
        del plain["folder"]
        return {**plain, "adapters": list(self.adapters), "format_version": FORMAT_VERSION}

    def write(self) -> "PolicyArtifact":
        """Write the description into the folder, after all that it names is there."""
        write_json(self.folder / DESCRIPTION, {**self._plain(), "hash": self.content_hash})
        return self


def read_artifact(folder: Path) -> PolicyArtifact:
    """Read an artifact's description.

    Raises:
        RunFailure: there is none, or it is of another format version.
    """
    content = read_json(folder / DESCRIPTION)
    version = content.pop("format_version", None)
    if version != FORMAT_VERSION:
        raise RunFailure(f"{folder / DESCRIPTION} has format version {version}, not {FORMAT_VERSION}; train again")
    content.pop("hash", None)
    content["sampling"] = Sampling(**content["sampling"])
    content["adapters"] = tuple(content["adapters"])
    return PolicyArtifact(folder=folder, **content)
