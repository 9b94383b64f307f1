"""Where converted models and measurements are kept, and the fingerprint that tells one set of weights from another."""

import hashlib
import os
from pathlib import Path

from benchmark.run_store import read_json, write_json

CACHE_VARIABLE = "RPM_METHODS_CACHE"


def cache_folder() -> Path:
    """Return $RPM_METHODS_CACHE, else `rpm-methods` in the user's cache folder; it need not exist yet."""
    own = os.environ.get(CACHE_VARIABLE)
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rpm-methods"


def folder_fingerprint(folder: Path) -> str:
    """Return a SHA-256 over the names and contents of a model folder's weights, config and tokenizer.

    Hashing gigabytes takes a while, so the result is remembered for as long as sizes and times do not change.
    """
    files = sorted(p for p in folder.iterdir() if p.suffix in (".safetensors", ".json", ".jinja", ".model"))
    stamp = [[p.name, p.stat().st_size, p.stat().st_mtime_ns] for p in files]
    record = cache_folder() / "fingerprints" / f"{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()}.json"
    if record.is_file():
        known = read_json(record)
        if known["stamp"] == stamp:
            return str(known["fingerprint"])
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    write_json(record, {"stamp": stamp, "fingerprint": digest.hexdigest()})
    return digest.hexdigest()
