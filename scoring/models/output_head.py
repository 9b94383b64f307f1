"""Log-probabilities of chosen tokens from hidden states, without a whole tokens x vocabulary array.

The output layer runs on a few positions at a time, and on a CPU float32 is made for fewer still, so that the
log-sum-exp works on what lies in the processor's cache. A GPU would spend its time launching such small pieces; there
only memory bounds them.
"""

from typing import Any

import torch

HEAD_CHUNK = 64
"""Positions that the output layer sees at a time."""
FLOAT_CHUNK = 16
"""Positions reduced in float32 at a time."""
GPU_LOGITS = 2**26
"""Logits of a piece on a GPU: with the 14 bytes that each takes in bfloat16, in float32 and while it is summed, 0.9 GB.
For a vocabulary of 151,936 that is 441 positions; chosen by this reckoning, not measured."""
PROBE_TOKENS = 4


class OutputHead:
    """The last part of a causal language model: from hidden states to log-probabilities.

    Some architectures do more to the logits than multiply by the output layer (soft caps, scales). A probe tells:
    where the output layer alone does not give the model's logits, the model's own are used, whole for one batch in
    the model's number format.
    """

    def __init__(self, model: Any) -> None:  # noqa: ANN401 - a transformers causal LM
        """Take the model apart and check the parts on a probe."""
        self.model = model
        self.body = model.get_decoder()
        self.layer = model.get_output_embeddings()
        self.in_chunks = self._parts_agree()
        self.chunks = (HEAD_CHUNK, FLOAT_CHUNK)
        if self.in_chunks and self.layer.weight.device.type != "cpu":
            self.chunks = gpu_chunks(self.layer.weight.shape[0])

    def log_probs(
        self,
        inputs_B_T: torch.Tensor,
        targets_B_T: torch.Tensor,
        chosen_B_T: torch.Tensor,
        **past: Any,  # noqa: ANN401 - passed through to the model
    ) -> torch.Tensor:
        """Return log p of the targets at the chosen places, nats, float32, row by row in one dimension.

        `chosen_B_T` may lie on the CPU, so that a GPU need not be waited for to know how many there are.
        """
        places = chosen_B_T.flatten().nonzero()[:, 0].to(inputs_B_T.device)
        targets = targets_B_T.flatten()[places]
        head_chunk, float_chunk = self.chunks
        if self.in_chunks:
            hidden = self.body(inputs_B_T, **past)[0].flatten(0, 1)[places]
            pieces = zip(torch.split(hidden, head_chunk), torch.split(targets, head_chunk), strict=True)
            return torch.cat([token_log_probs(self.layer(states), ids, float_chunk) for states, ids in pieces])
        return token_log_probs(self.model(inputs_B_T, **past).logits.flatten(0, 1)[places], targets, float_chunk)

    def next_logits(self, inputs_1_T: torch.Tensor, **past: Any) -> torch.Tensor:  # noqa: ANN401 - as above
        """Return the logits behind the last of one row's tokens, shape (vocabulary,), float32.

        The last hidden state is taken out before the output layer sees it: given as a slice of the whole, torch
        copies the layer's weights for it on a CPU, which takes a tenth of the time of reading a prompt.
        """
        if self.in_chunks:
            logits: torch.Tensor = self.layer(self.body(inputs_1_T, **past)[0][0, -1:])[0]
        else:
            logits = self.model(inputs_1_T, logits_to_keep=1, **past).logits[0, -1]
        return logits.float()

    def _parts_agree(self) -> bool:
        if self.body is None or self.body is self.model or self.layer is None:
            return False
        ids = torch.arange(PROBE_TOKENS, device=self.layer.weight.device)[None]
        with torch.inference_mode():
            whole = self.model(ids, use_cache=False).logits
            parts = self.layer(self.body(ids, use_cache=False)[0])
        return whole.shape == parts.shape and torch.equal(whole, parts)


def gpu_chunks(vocabulary: int) -> tuple[int, int]:
    """Return the positions that the output layer sees at a time on a GPU, and those reduced in float32: the same."""
    positions = max(HEAD_CHUNK, GPU_LOGITS // vocabulary)
    return positions, positions


def token_log_probs(logits_T_V: torch.Tensor, ids_T: torch.Tensor, chunk: int = FLOAT_CHUNK) -> torch.Tensor:
    """Return log p of each token in nats, float32, made for `chunk` positions at a time."""
    pieces = zip(torch.split(logits_T_V, chunk), torch.split(ids_T, chunk), strict=True)
    return torch.cat([_reduce(logits.float(), ids) for logits, ids in pieces])


def _reduce(logits_T_V: torch.Tensor, ids_T: torch.Tensor) -> torch.Tensor:
    return logits_T_V.gather(1, ids_T[:, None])[:, 0] - logits_T_V.logsumexp(dim=1)
