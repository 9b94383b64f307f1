"""Signs that a tokenizer cannot read a script, by hand and on the packaged embedding model's own tokenizer."""

import pytest
from transformers import AutoTokenizer

from benchmark import Benchmark
from scoring.models.resolver import locate_model
from scoring.script_coverage import ScriptCoverage, script_coverage, unknown_share


def test_the_share_counts_tokens_and_not_texts() -> None:
    assert unknown_share([[9], [1, 2, 9, 3]], unknown_id=9) == pytest.approx(2 / 5)


def test_without_tokens_there_is_no_share_and_without_an_unknown_token_nothing_is_unknown() -> None:
    assert unknown_share([[], []], unknown_id=9) is None
    assert unknown_share([[1, 2]], unknown_id=None) == 0.0


def test_pieces_are_counted_against_characters_without_white_space() -> None:
    coverage = script_coverage(["ab c", "d\n"], [[1, 2, 3], [4, 5]], unknown_id=None)
    assert coverage == ScriptCoverage(0.0, 5 / 4)
    assert script_coverage([" "], [[]], unknown_id=0) == ScriptCoverage(None, None)


def test_texts_and_token_sequences_must_be_as_many() -> None:
    with pytest.raises(ValueError, match="1 token sequences for 2 texts"):
        script_coverage(["a", "b"], [[1]], unknown_id=None)


@pytest.mark.parametrize(
    ("share", "pieces", "expected"),
    [(0.0, 0.3, False), (0.2, 1.2, False), (0.21, 0.3, True), (0.0, 1.21, True), (None, None, None)],
)
def test_either_sign_is_enough(share: float | None, pieces: float | None, expected: bool | None) -> None:
    assert ScriptCoverage(share, pieces).measures_script is expected


@pytest.mark.parametrize(
    ("subset", "expected"),
    [("id", False), ("german", False), ("spanish", False), ("chinese", True), ("japanese", True), ("korean", True)],
)
def test_the_packaged_embedding_reads_latin_script_only(mini: Benchmark, subset: str, expected: bool) -> None:
    tokenizer = AutoTokenizer.from_pretrained(str(locate_model("minilm").folder))
    texts = [sample.user_persona for sample in mini.test[subset]]
    coverage = script_coverage(texts, tokenizer(texts, add_special_tokens=False)["input_ids"], tokenizer.unk_token_id)
    assert coverage.measures_script is expected
    if subset == "korean":
        assert coverage.unknown_share is not None
        assert coverage.unknown_share < 0.1
