"""vLLM's engine in a process of its own, spoken to by lines of JSON: `python -m scoring.models.vllm_worker`.

The engine pins threads, replaces `torch.set_num_threads`, opens a process group and holds the GPU's memory; all of that
ends with the process, and no training sees it. Within it the engine runs without further processes, so that its
batches, and with them the rounding, do not depend on time. The first line on standard input holds the engine's
arguments; each further line a batch. When standard input ends, so does the process, whatever it is doing.
"""

import json
import os
import queue
import signal
import sys
import threading
import traceback
from typing import IO, Any

from scoring.models.out_of_memory import needs_larger_share, needs_less_memory

ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_DO_NOT_TRACK": "1",
}
"""What the process needs in its environment before anything is imported; the last two keep vLLM from reporting home."""


def main() -> None:
    """Serve until standard input ends."""
    replies = _private_output()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks; this one ends with it
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    try:
        from vllm import LLM  # type: ignore[import-not-found]  # it has an environment of its own

        engine = LLM(**json.loads(lines.get()))
        _reply(replies, {"ready": True})
        while True:
            _reply(replies, {"answers": _answers(engine, json.loads(lines.get()))})
    except Exception as error:  # vLLM raises many kinds; the other process says what to do
        traceback.print_exc()
        _reply(replies, {"error": f"{type(error).__name__}: {error}", "kind": _kind(error)})


def _private_output() -> IO[str]:
    """Return standard output for the replies alone; what libraries print goes to standard error."""
    private = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return private


def _read(lines: "queue.SimpleQueue[str]") -> None:
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)  # the other process has ended or wants no more


def _reply(replies: IO[str], content: dict[str, Any]) -> None:
    replies.write(json.dumps(content) + "\n")
    replies.flush()


def _answers(engine: Any, requests: list[dict[str, Any]]) -> list[list[int]]:  # noqa: ANN401 - vLLM's LLM
    """Return the tokens drawn for each request, with those that ended it.

    The cache of prefixes is emptied first: a batch is then computed alike whatever was computed before it.
    """
    from vllm import SamplingParams

    engine.reset_prefix_cache()
    outputs = engine.generate(
        [{"prompt_token_ids": request["ids"]} for request in requests],
        [SamplingParams(**request["sampling"]) for request in requests],
        use_tqdm=False,
    )
    drawn = [output.outputs[0] for output in outputs]
    odd = {str(answer.finish_reason) for answer in drawn} - {"stop", "length"}
    if odd:
        raise RuntimeError(f"answers ended by {', '.join(sorted(odd))}")
    return [list(answer.token_ids) for answer in drawn]


def _kind(error: Exception) -> str:
    if needs_larger_share(error):
        return "share"
    return "memory" if needs_less_memory(error) else "other"


if __name__ == "__main__":
    main()
