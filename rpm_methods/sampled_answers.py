"""Answers that a policy gives while another is being made from it; a finished batch is never drawn again."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmark.errors import RunFailure
from benchmark.prompts import Prompt
from benchmark.run_store import append_jsonl, read_appended_jsonl
from rpm_methods.artifact import PolicyArtifact
from rpm_methods.method import MethodSpec, TrainContext
from rpm_methods.policy import Policy, load_policy
from scoring.models.generation import Generation, Sampling
from scoring.models.out_of_memory import out_of_memory_names


def parent_of(context: TrainContext, spec: MethodSpec) -> PolicyArtifact:
    """Return the policy that the method starts from; RunFailure when the plan gave none."""
    if context.parent is None:
        raise RunFailure(f"{spec.name} starts from {spec.starts_from}, and there is no such policy in this run")
    return context.parent


def load_parent(context: TrainContext, spec: MethodSpec) -> Policy:
    """Load the policy that the method starts from."""
    parent = parent_of(context, spec)
    return load_policy(parent, renderer=context.renderer, dtype=context.dtype, device=context.device)


def sample_answers(
    policy: Policy, prompts: Sequence[Prompt], sampling: Sampling, path: Path, context: TrainContext, title: str
) -> list[Generation]:
    """Return the policy's answer to each prompt; batches are kept in `path` as they are finished."""
    made = {int(i): Generation(**answer) for batch in read_appended_jsonl(path) for i, answer in batch.items()}
    with context.progress.task(title, len(prompts)) as advance:
        advance(len(made))
        if len(made) < len(prompts):
            with out_of_memory_names("generation.batch_tokens"):
                for batch in policy.generate(prompts, sampling, finished=made.keys()):
                    append_jsonl(path, {str(index): asdict(answer) for index, answer in batch})
                    made |= dict(batch)
                    advance(len(batch))
    return [made[index] for index in range(len(prompts))]
