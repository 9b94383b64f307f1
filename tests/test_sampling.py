"""Rollouts are draws from the policy's own distribution, repeatable, and carry every token that was drawn."""

import pytest
import torch

from benchmark import Benchmark, PromptRenderer
from scoring.models.causal_lm import CausalLM
from scoring.models.decoding import BLOCK, Drawn, Sampler, _draw_by_inversion, decode
from scoring.models.generation import answer_text
from scoring.models.output_head import PROBE_TOKENS
from scoring.sampling import sample_rollouts


@pytest.mark.parametrize("words", [6, BLOCK, 3 * BLOCK + 1])
def test_drawing_by_inversion_follows_the_weights_and_never_takes_a_word_without(words: int) -> None:
    sampler = Sampler(repetition_penalty=1.0, temperature=2.0, generator=torch.Generator().manual_seed(0))
    weights = torch.zeros(words)
    weights[[1, 3, 4]] = torch.tensor([0.4, 0.3, 0.2])
    weights[words - 2] += 0.1
    logits_B_V = (2.0 * weights.log()).expand(20_000, -1)  # divided by the temperature, the logits of the weights
    counts = torch.bincount(sampler.draw(logits_B_V, None), minlength=words) / 20_000
    assert counts[weights == 0].sum() == 0
    assert torch.allclose(counts, weights, atol=4 * 0.5 / 20_000**0.5)


def test_a_number_falls_where_it_falls_among_all_words_whatever_block_they_are_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weights_B_V = torch.rand((500, 2 * BLOCK), generator=torch.Generator().manual_seed(3)).double() ** 4
    uniform_B_1 = torch.rand((500, 1), generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    uniform_B_1[0], uniform_B_1[1] = 0.0, 1 - 2**-53
    monkeypatch.setattr("scoring.models.decoding._uniform", lambda *given: uniform_B_1)
    cumulated_B_V = weights_B_V.cumsum(dim=1)
    expected = torch.searchsorted(cumulated_B_V, uniform_B_1 * cumulated_B_V[:, -1:], right=True)[:, 0]
    assert torch.equal(_draw_by_inversion(weights_B_V, torch.Generator()), expected.clamp(max=2 * BLOCK - 1))


def test_damping_seen_tokens_is_left_out_only_where_nothing_is_given() -> None:
    sampler = Sampler(repetition_penalty=2.0, temperature=0.0, generator=torch.Generator())
    logits_B_V = torch.tensor([[3.0, 2.0]])
    assert sampler.draw(logits_B_V, None).tolist() == [0]
    assert sampler.draw(logits_B_V, torch.tensor([[0, 0]])).tolist() == [1]


@pytest.fixture(scope="module")
def prompts(tiny_lm: CausalLM, mini: Benchmark, renderer: PromptRenderer) -> list[list[int]]:
    chosen = [mini.train[0], mini.train[0], mini.train[0], mini.train[1], mini.train[1]]
    return [tiny_lm.chat.encode_prompt(renderer.render("response", sample)) for sample in chosen]


def test_equal_prompts_are_read_once_and_answered_differently(tiny_lm: CausalLM, prompts: list[list[int]]) -> None:
    widths: list[tuple[int, ...]] = []
    hook = tiny_lm.model.model.embed_tokens.register_forward_hook(
        lambda module, inputs, output: widths.append(tuple(inputs[0].shape))
    )
    made = sample_rollouts(tiny_lm, prompts, stop="", max_new_tokens=6, temperature=1.0, seed=1)
    hook.remove()
    assert sum(rows for rows, width in widths if width > PROBE_TOKENS) == 2
    assert {rows for rows, width in widths if width == 1} == {5}
    assert len({rollout.ids for rollout in made}) == 5


def test_the_same_seed_gives_the_same_rollouts_and_another_seed_others(
    tiny_lm: CausalLM, prompts: list[list[int]]
) -> None:
    first, again, other = (
        sample_rollouts(tiny_lm, prompts, stop="", max_new_tokens=6, temperature=1.0, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_rollouts_equal_those_of_prompts_read_one_by_one(tiny_lm: CausalLM, prompts: list[list[int]]) -> None:
    """At a temperature near zero a draw is the likeliest token, whatever the seed: each row stands for itself."""
    cold = sample_rollouts(tiny_lm, prompts, stop="", max_new_tokens=8, temperature=1e-4, seed=3)
    sampler = Sampler(1.0, 0.0, torch.Generator())
    alone = [decode(tiny_lm, [ids], [""], sampler, 8)[0] for ids in prompts]
    assert [list(rollout.ids) for rollout in cold] == [
        [*drawn.ids, *([] if drawn.end_id is None else [drawn.end_id])] for drawn in alone
    ]


def test_all_tokens_are_kept_those_of_the_stop_string_and_of_the_end_too(tiny_lm: CausalLM) -> None:
    chat = tiny_lm.chat
    ids = chat.encode_text("Rye.\n</Agent Response>")
    closed = Drawn(ids, closed=True)
    assert answer_text(tiny_lm.chat, closed, "</Agent Response>") == "Rye."
    assert closed.finish_reason == "stop"
    assert Drawn(ids, end_id=chat.end_of_turn_id).finish_reason == "stop"
    assert Drawn(ids).finish_reason == "length"
    begun = Drawn(chat.encode_text("Rye.\n</Agent Res"))
    assert answer_text(tiny_lm.chat, begun, "</Agent Response>") == "Rye."


def test_an_end_that_is_drawn_is_part_of_the_rollout(tiny_lm: CausalLM, prompts: list[list[int]]) -> None:
    hot = sample_rollouts(tiny_lm, prompts * 40, stop="", max_new_tokens=30, temperature=3.0, seed=0)
    ended = [rollout for rollout in hot if rollout.finish_reason == "stop"]
    assert ended
    assert all(rollout.ids[-1] in tiny_lm.chat.end_ids for rollout in ended)
    assert all(len(r.ids) == 30 and r.ids[-1] not in tiny_lm.chat.end_ids for r in hot if r.finish_reason == "length")


def test_what_cannot_be_drawn_is_an_error(tiny_lm: CausalLM, prompts: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        sample_rollouts(tiny_lm, prompts, stop="", max_new_tokens=6, temperature=0.0, seed=1)
    with pytest.raises(ValueError, match="leaves no room"):
        sample_rollouts(tiny_lm, prompts, stop="", max_new_tokens=4096, temperature=1.0, seed=1)


def test_a_row_with_a_seed_of_its_own_draws_the_same_whatever_batch_it_is_in(
    tiny_lm: CausalLM, prompts: list[list[int]]
) -> None:
    together = sample_rollouts(tiny_lm, prompts, stop="", max_new_tokens=6, temperature=1.0, seed=[5, 6, 7, 8, 9])
    parts = [
        sample_rollouts(tiny_lm, prompts[start:end], stop="", max_new_tokens=6, temperature=1.0, seed=seeds)
        for start, end, seeds in ((0, 2, [5, 6]), (2, 5, [7, 8, 9]))
    ]
    assert [rollout.ids for rollout in together] == [rollout.ids for part in parts for rollout in part]
    assert len({rollout.ids for rollout in together}) == 5
