"""TRL's SFTTrainer with the vocabulary projected only where an answer token is predicted.

On devices with Triton TRL does so itself; elsewhere it projects every position of the prompt too, which on a CPU
costs as much again as the layers of a small model. Loss and gradient are the same.
"""

from typing import Any

from torch.nn.functional import cross_entropy

from rpm_methods.training_rows import IGNORED


def sft_trainer_class(device: str) -> Any:  # noqa: ANN401 - a class of TRL's
    """Return TRL's SFTTrainer for CUDA, and for other devices the one whose loss skips the prompt's positions."""
    from trl import SFTTrainer

    if device == "cuda":
        return SFTTrainer

    class AnswerLossTrainer(SFTTrainer):  # type: ignore[misc]  # TRL is untyped
        """Computes the mean negative log-likelihood of the supervised tokens, in nats a token."""

        def compute_loss(
            self,
            model: Any,  # noqa: ANN401 - a PEFT model
            inputs: dict[str, Any],
            return_outputs: bool = False,
            num_items_in_batch: Any = None,  # noqa: ANN401 - an integer tensor or None
        ) -> Any:  # noqa: ANN401 - a tensor, with the outputs if asked for
            labels_B_L = inputs["labels"]
            before_K = (labels_B_L[:, 1:] != IGNORED).any(dim=0).nonzero()[:, 0]
            rest = {name: value for name, value in inputs.items() if name != "labels"}
            outputs = model(**rest, use_cache=False, logits_to_keep=before_K)
            logits_T_V = outputs.logits.flatten(0, 1).float()
            targets_T = labels_B_L[:, before_K + 1].flatten()
            total = cross_entropy(logits_T_V, targets_T, ignore_index=IGNORED, reduction="sum")
            count = (targets_T != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch
            loss = total / count
            if self.args.average_tokens_across_devices and num_items_in_batch is not None:
                loss = loss * self.accelerator.num_processes  # it counts all processes' tokens; gradients are averaged
            return (loss, outputs) if return_outputs else loss

    return AnswerLossTrainer
