"""How many tokens a text has: by the model's own tokenizer where it is here, else by its characters."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from benchmark.errors import Mistake, UserMistakes
from benchmark.prompts import Prompt
from recipes.cost.model_shape import known_models, local_file

MESSAGE_TOKENS = 5
"""Tokens of a chat template around each message."""
OPENING_TOKENS = 3
"""Tokens of a chat template that open the answer."""
SCRIPTS = {"han": ((0x3000, 0x303F), (0x4E00, 0x9FFF), (0xFF00, 0xFFEF)), "kana": ((0x3040, 0x30FF),)}
SCRIPTS |= {"hangul": ((0xAC00, 0xD7AF),)}
"""Script -> ranges of code points; below 128 is "latin", all others "accented"."""


@dataclass(frozen=True)
class TokenCounter:
    """Counts tokens as one model has them."""

    model: str
    count: Callable[[str], int]
    """Text -> tokens."""
    measured: bool
    """True by the model's tokenizer, False by characters."""

    def of_prompt(self, prompt: Prompt) -> int:
        """Return the tokens of a chat up to the opening of the answer; those of the chat template are a constant."""
        texts = [message.content for message in prompt.messages]
        around = MESSAGE_TOKENS * len(texts) + OPENING_TOKENS
        return sum(map(self.count, texts)) + around + self.count(prompt.answer_prefix)


def token_counter(model: str, where: str) -> TokenCounter:
    """Return the counter of a model; nothing is downloaded.

    Raises:
        UserMistakes: neither is its tokenizer here nor is it known how many characters its tokens have.
    """
    file = local_file(model, "tokenizer.json")
    if file is not None:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(file))
        tokenizer.no_truncation()
        tokenizer.no_padding()

        def count(text: str) -> int:
            return len(tokenizer.encode(text, add_special_tokens=False).ids)

        return TokenCounter(model, count, measured=True)
    if model in known_models():
        rates = known_models()[model]["characters_a_token"]
        return TokenCounter(model, lambda text: tokens_by_script(text, rates), measured=False)
    remedy = "download its tokenizer.json into the hub's local cache, or give the folder of the model"
    raise UserMistakes([Mistake(where, f"the tokenizer of the model {model} is not here", remedy)])


def tokens_by_script(text: str, characters_a_token: dict[str, float]) -> int:
    """Return about how many tokens a text has: characters of each script by the characters of one token."""
    return math.ceil(sum(1 / characters_a_token[_script(ord(character))] for character in text))


def _script(code: int) -> str:
    if code < 128:
        return "latin"
    found = (name for name, ranges in SCRIPTS.items() if any(low <= code <= high for low, high in ranges))
    return next(found, "accented")
