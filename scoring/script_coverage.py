"""Whether an embedding's tokenizer can read a subset's script.

Texts that the tokenizer maps onto unknown tokens, or takes apart below the character, all look alike to the embedding
and all unlike English. Their divergence from an English set then measures the script, not the persona. Two signs are
needed: the vocabulary of all-MiniLM-L6-v2 lacks most Chinese characters, but knows the letters that Korean syllables
are made of, so that Korean has few unknown tokens and is unreadable all the same.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

UNKNOWN_SHARE_LIMIT = 0.20
"""Above this share of unknown tokens an embedding reads a script, not a text."""
PIECES_LIMIT = 1.2
"""Above this many tokens a character, characters are taken apart. One token a character is usual for Chinese; the rest
is for characters that a normaliser writes out."""


@dataclass(frozen=True)
class ScriptCoverage:
    """What a tokenizer made of the texts of one component of one subset."""

    unknown_share: float | None
    """Share of unknown tokens, 0 .. 1; None without tokens."""
    pieces_per_character: float | None
    """Tokens a character, white space not counted; None without characters."""

    @property
    def measures_script(self) -> bool | None:
        """Tell whether divergences of these texts measure their script; None where there was nothing to read."""
        if self.unknown_share is None or self.pieces_per_character is None:
            return None
        return self.unknown_share > UNKNOWN_SHARE_LIMIT or self.pieces_per_character > PIECES_LIMIT


def script_coverage(texts: Sequence[str], token_ids: Sequence[Sequence[int]], unknown_id: int | None) -> ScriptCoverage:
    """Return both signs for texts and their token ids, which must be without special tokens and uncut.

    Raises:
        ValueError: there are not as many token sequences as texts.
    """
    if len(texts) != len(token_ids):
        raise ValueError(f"{len(token_ids)} token sequences for {len(texts)} texts")
    characters = sum(len(piece) for text in texts for piece in text.split())
    tokens = sum(len(ids) for ids in token_ids)
    return ScriptCoverage(unknown_share(token_ids, unknown_id), tokens / characters if characters else None)


def unknown_share(token_ids: Iterable[Sequence[int]], unknown_id: int | None) -> float | None:
    """Return the share of unknown tokens among all tokens, or None when there are no tokens.

    A tokenizer without an unknown token (`unknown_id` None, as the byte-level ones) can spell everything: 0.0.
    """
    tokens = [token for ids in token_ids for token in ids]
    if not tokens:
        return None
    return sum(token == unknown_id for token in tokens) / len(tokens)
