"""A stand-in for the package vllm: an engine that answers by rule, or fails as it is told to, in a real process."""

from pathlib import Path

ENGINE = """
import json
import os
from types import SimpleNamespace


class SamplingParams:
    def __init__(self, **given):
        self.given = given


class LLM:
    def __init__(self, **arguments):
        self.arguments, self.told, self.batches = arguments, json.loads(os.environ["STAND_IN"]), 0
        print("an engine that prints")
        self._write(arguments=arguments, environment={k: v for k, v in os.environ.items() if "VLLM" in k or "OMP" in k})
        self._fail("start")

    def reset_prefix_cache(self):
        self._write(reset=self.batches)

    def generate(self, prompts, params, use_tqdm):
        self.batches += 1
        self._write(batch=[[prompt["prompt_token_ids"], one.given] for prompt, one in zip(prompts, params)])
        self._fail(str(self.batches))
        answers = self.told["answers"]
        made = [(answers[n % len(answers)]) for n in range(len(prompts))]
        return [SimpleNamespace(outputs=[SimpleNamespace(token_ids=ids, finish_reason="length")]) for ids in made]

    def _fail(self, where):
        if where in self.told.get("fails", {}):
            said = self.told["fails"][where]
            if said == "killed":
                os.kill(os.getpid(), 9)
            if said == "silent":
                os._exit(3)
            raise RuntimeError(said)

    def _write(self, **what):
        with open(self.told["log"], "a") as file:
            file.write(json.dumps(what) + chr(10))
"""


def install(folder: Path) -> Path:
    """Write the package into a folder, which then goes onto PYTHONPATH; return the folder."""
    (folder / "vllm.py").write_text(ENGINE)
    return folder
