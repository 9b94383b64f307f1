"""Tokens, operations and batches of pieces of work, against numbers worked out by hand and slow re-statements."""

import itertools
from collections.abc import Sequence
from statistics import fmean

import pytest

from benchmark import Benchmark, PromptRenderer
from benchmark.errors import UserMistakes
from recipes.cost.hardware import find_hardware
from recipes.cost.lengths import Around, Lengths, expected_longest
from recipes.cost.model_shape import ModelShape
from recipes.cost.population import Population
from recipes.cost.rollouts import Asked, Reward, answers, fill, reinforcement, rewards
from recipes.cost.setting import Setting
from recipes.cost.tokens import TokenCounter
from recipes.cost.trainer import Trainer
from recipes.cost.training import Rows, imitation, preference
from recipes.cost.work import Sequences, Work, decode, forward, repeated, train
from scoring.models.generation import prompt_batches

SHAPE = ModelShape("m", 2, 10, 5, 1, 4, 30, 3, 100, tied=True, dtype="bfloat16")
P, V = 2 * SHAPE.body, 2 * SHAPE.head
KEY = SHAPE.key_operations


def trainer(**changes: object) -> Trainer:
    settings: dict[str, object] = {
        "epochs": 1.0,
        "max_steps": None,
        "rows": 8,
        "accumulated": 2,
        "generations": 4,
        "checkpointing": False,
        "rank": 2,
        "devices": 1,
    }
    return Trainer(**{**settings, **changes})  # type: ignore[arg-type]


@pytest.fixture
def words(renderer: PromptRenderer) -> Lengths:
    """Count words, so that lengths can be worked out."""
    return Lengths(TokenCounter("m", lambda text: len(text.split()), measured=True), renderer)


@pytest.fixture
def cpu(words: Lengths) -> Setting:
    return Setting(find_hardware("cpu"), SHAPE, words)


@pytest.fixture
def gpu(words: Lengths) -> Setting:
    return Setting(find_hardware("h100"), SHAPE, words)


def test_a_forward_pass_counts_matrices_attention_and_vocabulary() -> None:
    work = forward("w", SHAPE, Sequences(3, 4, before=10, scored=2), passes=1, precision="bfloat16", memory=0.0)
    assert work.tokens == 12
    # four tokens look back on ten each, and on half of each other
    assert work.operations == 3 * (4 * P + 2 * V + KEY * 4 * (10 + 2))
    assert work.bytes_read == 2 * (SHAPE.body + SHAPE.head) + 3 * 10 * SHAPE.cache_numbers * 2
    assert work.layer_passes == 2


@pytest.mark.parametrize(("checkpointing", "forwards"), [(False, 1), (True, 2)])
def test_training_goes_back_once_through_the_matrices_and_twice_through_attention(
    checkpointing: bool, forwards: int
) -> None:
    work = train(
        "w",
        SHAPE,
        Sequences(1, 6, scored=1),
        passes=1,
        rank=2,
        checkpointing=checkpointing,
        precision="bfloat16",
        memory=0.0,
    )
    matrices, attention, adapter = 6 * P + V, KEY * 6 * 3, 6 * 2 * SHAPE.adapter(2)
    assert work.operations == (forwards + 1) * matrices + (forwards + 2) * (attention + adapter)
    assert work.layer_passes == (forwards + 1) * 2


@pytest.mark.parametrize("together", [1, 4])
def test_decoding_reads_weights_once_a_step_and_the_cache_once_for_answers_to_one_prompt(together: int) -> None:
    work = decode(
        "w",
        SHAPE,
        rows=8,
        context=100,
        tokens=15,
        steps=20,
        batches=2,
        together=together,
        precision="float32",
        memory=0.0,
    )
    assert work.tokens == 120
    assert work.operations == 8 * 20 * (P + V + KEY * 110)
    cache = (8 / together * 100 + 8 * 10) * SHAPE.cache_numbers
    assert work.bytes_read == pytest.approx(4 * 20 * (2 * (SHAPE.body + SHAPE.head) + cache))
    assert work.layer_passes == 2 * 20 * 2


def test_work_done_again_costs_again_and_needs_no_more_memory() -> None:
    (again,) = repeated([Work("w", "scoring", 2.0, 3.0, 4.0, 5.0, seconds=6.0, starts=1.0, memory=7.0)], 3)
    found = (again.tokens, again.operations, again.bytes_read, again.layer_passes, again.seconds, again.starts)
    assert found == (6.0, 9.0, 12.0, 15.0, 18.0, 3.0)
    assert again.memory == 7.0


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_the_expected_longest_is_the_mean_over_all_draws(rows: int) -> None:
    lengths = [5, 1, 9, 9]
    draws = [max(draw) for draw in itertools.product(lengths, repeat=rows)]
    assert expected_longest(lengths, rows) == pytest.approx(fmean(draws))


def batches_of(sorts: Sequence[tuple[int, int]], limit: int, batch_tokens: int) -> list[tuple[int, int]]:
    """Return (rows, width) of each batch that generation makes of sorts of equal prompts, (count, tokens) each."""
    prompts = {n: [number] * tokens for n, (number, tokens) in enumerate(
        (number, tokens) for number, (count, tokens) in enumerate(sorts) for _ in range(count)
    )}  # fmt: skip
    made = list(prompt_batches(prompts, batch_tokens, limit))
    return [(len(batch), max(len(prompts[i]) for i in batch) + limit) for batch in made]


@pytest.mark.parametrize(
    "sorts",
    [[(10, 30)], [(7, 30), (9, 50), (2, 20)], [(1, 90), (1, 10), (30, 40)], [(3, 5), (3, 6), (3, 7)], [(40, 95)]],
)
def test_batches_are_filled_as_generation_fills_them(sorts: list[tuple[int, int]]) -> None:
    asked = [Asked(count, [tokens], 5, 10) for count, tokens in sorts]
    found = fill(asked, 300, 1, 1)
    listed = [(batch.rows, batch.width) for batch in found for _ in range(round(batch.count))]
    assert listed == batches_of(sorts, 10, 300)


def test_answers_are_read_once_and_drawn_as_often_as_asked(cpu: Setting) -> None:
    reading, *writing = answers("a", cpu, [Asked(10, [20, 40], 7, 5)], 10_000, each=3)
    assert (reading.tokens, reading.starts) == (300, 1)
    assert sum(work.tokens for work in writing) == 10 * 3 * 5  # the limit is below the answer's length


def test_supervised_training_pads_to_the_longest_row_and_tries_one_batch(cpu: Setting) -> None:
    rows = Rows(6, [10, 20], 5)
    work = imitation("t", cpu, trainer(rows=2, epochs=2.0), rows)
    width = (10 + 20 + 20 + 20) / 4 + 5
    assert work.tokens == pytest.approx((12 + 2) * width)
    assert work.layer_passes == 2 * 7 * 2
    steps = imitation("t", cpu, trainer(rows=2, accumulated=3, max_steps=4), rows)
    assert steps.tokens == pytest.approx((24 + 2) * width)


def test_a_pairs_prompt_is_run_once_on_a_processor_and_twice_elsewhere(cpu: Setting, gpu: Setting) -> None:
    rows = Rows(9, [100], 10)
    policy, reference = preference("p", cpu, trainer(rows=1), rows, rejected=30)
    assert policy.tokens == reference.tokens == (9 + 1) * (100 + 10 + 30)
    policy, reference = preference("p", gpu, trainer(rows=1), rows, rejected=30)
    assert policy.tokens == reference.tokens == (9 + 1) * 2 * (100 + 30)


def test_rewards_read_what_a_group_shares_once(cpu: Setting) -> None:
    reward = Reward(Around(50, 8), 4, 100, "float32", beside=True, others=1)
    work = rewards("r", cpu, reward, groups=3, each=4, answer=12)
    assert work.tokens == 3 * (50 + 5 * 20)
    assert work.layer_passes == 3 * (1 + 1) * 2  # five rows of twenty tokens fill one batch
    assert work.precision == "float32"


@pytest.mark.parametrize(("devices", "prompts", "steps"), [(1, 4, 7), (4, 16, 1)])
def test_steps_of_reinforcement_are_whole(devices: int, prompts: int, steps: int) -> None:
    found = trainer(devices=devices)
    assert found.prompts_a_step == prompts
    assert found.steps(31) == steps


def test_fewer_samples_than_a_step_takes_are_a_mistake() -> None:
    with pytest.raises(UserMistakes, match="a step answers 16 prompts on 4 devices, and there are 15 training samples"):
        trainer(devices=4).steps(15)


def test_reinforcement_counts_every_part_of_its_steps(cpu: Setting) -> None:
    reward = Reward(Around(50, 8), 4, 1000, "bfloat16", beside=False)
    asked = Asked(10, [30], 6, 9)
    reading, drawing, scoring, update = reinforcement("g", cpu, trainer(), asked, reward, 10_000)
    seen = 2 * 4  # two steps of four prompts; the other two samples are too few for a step
    assert reading.tokens == seen * 30
    assert drawing.tokens == seen * 4 * 6
    assert drawing.layer_passes == 2 * 9 * 2  # a batch a step, nine tokens, two layers
    assert scoring.tokens == seen * (50 + 4 * 14)
    assert update.tokens == (seen + 2) * (30 + 4 * 6)  # and one batch of two groups beforehand


def test_an_update_on_a_gpu_runs_every_answer_with_its_prompt(gpu: Setting) -> None:
    reward = Reward(Around(50, 8), 4, 1000, "bfloat16", beside=False)
    *_, update = reinforcement("g", gpu, trainer(checkpointing=True), Asked(8, [30], 6, 9), reward, 10_000)
    assert update.tokens == (8 + 2) * 4 * (30 + 9)


def test_a_rewarding_model_of_its_own_takes_its_memory_and_its_loading(gpu: Setting) -> None:
    asked = Asked(8, [30], 6, 9)
    shared = reinforcement("g", gpu, trainer(), asked, Reward(Around(50, 8), 4, 1000, "float32", beside=False), 1000)
    own = Reward(Around(50, 8), 4, 1000, "float32", beside=True, own=True)
    beside = reinforcement("g", gpu, trainer(), asked, own, 1000)
    assert beside[0].memory - shared[0].memory == 4 * SHAPE.parameters
    assert (shared[0].starts, beside[0].starts) == (1, 2)


def test_lengths_are_those_of_rendered_prompts(words: Lengths, mini: Benchmark, renderer: PromptRenderer) -> None:
    population = Population("id", 5, mini.test["id"][:5])
    sample = population.shown[0]
    rendered = renderer.render("reward_response", sample, candidate_response="one two three")
    around = words.around("reward_response", "candidate_response", Population("id", 1, (sample,)))
    assert around.before + 3 + around.behind == pytest.approx(words.counter.of_prompt(rendered), abs=3)
    assert words.golden(population) == fmean(len(s.golden_response.split()) for s in population.shown)
    plain = words.prompt("response", population)
    prompts = [renderer.render_with_examples("response", s, [mini.train[0]]) for s in population.shown]
    train = Population("train", 1, mini.train[:1])
    longer = fmean(words.counter.of_prompt(prompt) for prompt in prompts)
    assert plain + words.example("response", train) == pytest.approx(longer, abs=12)


def test_lengths_of_equally_named_populations_are_kept_apart(words: Lengths, mini: Benchmark) -> None:
    short, long = Population("id", 1, mini.test["id"][:1]), Population("id", 1, mini.test["turn_level"][:1])
    assert words.prompt("response", short) < words.prompt("response", long)


def test_memory_of_training_grows_with_batch_and_shrinks_by_checkpointing(gpu: Setting) -> None:
    def memory(**changes: object) -> float:
        return imitation("t", gpu, trainer(**changes), Rows(6, [1000], 5)).memory

    assert memory(rows=1) < memory(rows=4)
    assert memory(rows=4, checkpointing=True) < memory(rows=4)
