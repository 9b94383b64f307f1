"""One way from a prompt to token ids, the same for training, generation and scoring.

Texts that come from outside are tokenised apart from the chat template's own markers, so that a marker spelled
out in a persona stays text. Models without a chat template get ChatML, with the tokenizer's end-of-text token in
the place of <|im_end|>, behind its beginning-of-text token where it has one.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from benchmark.errors import RunFailure
from benchmark.prompts import Message, Prompt

CHATML = (
    "{{ bos_token }}"  # nothing where there is none
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}{{ eos_token }}\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_SENTINEL = re.compile("\ue000(\\d+)\ue001")


@dataclass(frozen=True)
class ChatTokenizer:
    """A tokenizer with its chat template."""

    tokenizer: Any
    """A transformers tokenizer."""

    def encode_prompt(self, prompt: Prompt) -> list[int]:
        """Return the token ids of the chat up to and including the opening of the answer."""
        contents = [message.content for message in prompt.messages]
        marked = [
            {"role": message.role, "content": f"\ue000{index}\ue001"} for index, message in enumerate(prompt.messages)
        ]
        pieces = _SENTINEL.split(self._template(marked, add_generation_prompt=True))
        ids: list[int] = []
        for position, piece in enumerate(pieces):
            is_content = position % 2 == 1
            ids += self.encode_text(contents[int(piece)]) if is_content else self._encode_markers(piece)
        return ids + self.encode_text(prompt.answer_prefix)

    def encode_text(self, text: str) -> list[int]:
        """Return the token ids of plain text; what looks like a special token in it stays text."""
        encoded = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)
        return list(encoded["input_ids"])

    def encode_answer(self, text: str, *, ended: bool) -> list[int]:
        """Return the token ids of an answer's text, and the end-of-turn token where it ended by itself."""
        ids = self.encode_text(text)
        return [*ids, self.end_of_turn_id] if ended else ids

    def unspelled(self, texts: Sequence[str]) -> list[str]:
        """Return those of the texts that the tokenizer cannot write: decoding does not give them back."""
        unknown = self.tokenizer.unk_token_id
        encoded = {text: self.encode_text(text) for text in texts}
        return [text for text, ids in encoded.items() if unknown in ids or self.decode(ids) != text]

    def spelled(self, ids: list[int]) -> list[str]:
        """Return each token as the tokenizer spells it."""
        return list(self.tokenizer.convert_ids_to_tokens(ids))

    def encode_chat(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> list[int]:
        """Return the token ids of a whole chat as the template writes it, markers spelled in texts included.

        This is how most code does it. Here it serves for comparison alone; use `encode_prompt`.
        """
        plain = [{"role": message.role, "content": message.content} for message in messages]
        return self._encode_markers(self._template(plain, add_generation_prompt=add_generation_prompt))

    def decode(self, ids: list[int]) -> str:
        """Return the text of generated tokens without special tokens."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))

    def spelled_out(self, ids: list[int]) -> str:
        """Return the text of tokens with special tokens spelled out, as a server reads them from text."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    @property
    def vocabulary_size(self) -> int:
        """Number of tokens, special ones included."""
        return len(self.tokenizer)

    @cached_property
    def end_of_turn_id(self) -> int:
        """The token that ends an assistant's turn: what the chat template writes behind its content."""
        messages = [
            {"role": "user", "content": "\ue0000\ue001"},
            {"role": "assistant", "content": "\ue0001\ue001"},
        ]
        tail = _SENTINEL.split(self._template(messages, add_generation_prompt=False))[-1]
        behind = self._encode_markers(tail)
        special = set(self.tokenizer.all_special_ids)
        if behind and behind[0] in special:
            return behind[0]
        if self.tokenizer.eos_token_id is None:
            raise RunFailure("the tokenizer has no end-of-text token, so no answer could ever end")
        return int(self.tokenizer.eos_token_id)

    @cached_property
    def end_ids(self) -> list[int]:
        """Every token that ends generation."""
        eos = self.tokenizer.eos_token_id
        return sorted({self.end_of_turn_id} | ({int(eos)} if eos is not None else set()))

    @cached_property
    def pad_id(self) -> int:
        """A padding token that neither ends nor begins a text: padding with an end teaches the model not to stop."""
        candidates = [
            self.tokenizer.pad_token_id,
            self.tokenizer.unk_token_id,
            *self.tokenizer.all_special_ids,
        ]
        candidates += sorted(self.tokenizer.added_tokens_decoder)
        taken = {*self.end_ids, self.tokenizer.bos_token_id}
        for candidate in candidates:
            if candidate is not None and candidate not in taken:
                return int(candidate)
        raise RunFailure("the tokenizer has no special token to pad with other than those that begin or end a text")

    def _template(self, messages: list[dict[str, str]], *, add_generation_prompt: bool) -> str:
        template = None if self.tokenizer.chat_template else CHATML
        return str(
            self.tokenizer.apply_chat_template(
                messages,
                chat_template=template,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                return_dict=False,
            )
        )

    def _encode_markers(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])
