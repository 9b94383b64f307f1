"""The mini benchmark's composed dialogues come from the sources they name: mixed turns, or a few changed words."""

from itertools import pairwise

from mini_helpers import mini, same_people, sources_of, utterances, whole_turns

from benchmark import Sample

# ---- turn level ----


def id_dialogues() -> list[Sample]:
    return [*mini().train, *mini().test["id"]]


def source_order(sample: Sample) -> list[int | None]:
    """Return for each turn of the context the number of the source it is a turn of; None where it is of neither."""
    sources = [whole_turns(source) for source in sources_of(sample)]
    return [next((i for i, turns in enumerate(sources) if turn in turns), None) for turn in sample.turns]


def test_turn_level_samples_name_two_dialogues_of_their_persona_and_character() -> None:
    wrong = [
        sample.sample_id
        for sample in mini().test["turn_level"]
        if len(set(sample.source_sample_ids)) != 2
        or len(sample.source_sample_ids) != 2
        or not all(source in id_dialogues() and same_people(source, sample) for source in sources_of(sample))
    ]
    assert wrong == []


def test_turn_level_samples_have_a_source_in_the_id_test() -> None:
    id_test = mini().test["id"]
    turn_level = mini().test["turn_level"]
    assert [s.sample_id for s in turn_level if not any(source in id_test for source in sources_of(s))] == []


def test_turns_of_turn_level_samples_are_turns_of_their_sources() -> None:
    assert [s.sample_id for s in mini().test["turn_level"] if None in source_order(s)] == []


def test_both_sources_give_a_turn_level_sample_two_turns_or_more() -> None:
    orders = {sample.sample_id: source_order(sample) for sample in mini().test["turn_level"]}
    assert [name for name, order in orders.items() if min(order.count(0), order.count(1)) < 2] == []


def test_turn_level_samples_switch_between_their_sources_three_times_or_more() -> None:
    orders = {sample.sample_id: source_order(sample) for sample in mini().test["turn_level"]}
    switches = {name: sum(one != other for one, other in pairwise(order)) for name, order in orders.items()}
    assert [name for name, count in switches.items() if count < 3] == []


def test_no_training_sample_holds_the_end_of_a_turn_level_sample() -> None:
    known = [text for sample in mini().train for text in utterances(sample)]
    found = [
        (sample.sample_id, text)
        for sample in mini().test["turn_level"]
        for text in (sample.last_query, sample.golden_response)
        if any(text in other for other in known)
    ]
    assert found == []


# ---- word level ----


def changed_words(old: str, new: str) -> tuple[list[str], list[str]]:
    """Return what is left of both word lists without their common beginning and their common end."""
    one, other = old.split(), new.split()
    shorter = min(len(one), len(other))
    head = next((i for i in range(shorter) if one[i] != other[i]), shorter)
    tail = next((i for i in range(shorter - head) if one[-1 - i] != other[-1 - i]), shorter - head)
    return one[head : len(one) - tail], other[head : len(other) - tail]


def test_word_level_samples_have_one_source_in_the_id_test_with_the_same_people_and_turns() -> None:
    wrong = [
        sample.sample_id
        for sample in mini().test["word_level"]
        if len(sample.source_sample_ids) != 1
        or not all(
            source in mini().test["id"] and same_people(source, sample) and source.turns == sample.turns
            for source in sources_of(sample)
        )
    ]
    assert wrong == []


def test_word_level_last_queries_differ_from_their_source_in_one_run_of_three_words_at_most() -> None:
    changes = {
        sample.sample_id: changed_words(source.last_query, sample.last_query)
        for sample in mini().test["word_level"]
        for source in sources_of(sample)
    }
    assert {name: both for name, both in changes.items() if not 1 <= max(map(len, both)) <= 3} == {}


def test_word_level_golden_responses_differ_from_their_source() -> None:
    wrong = [
        sample.sample_id
        for sample in mini().test["word_level"]
        for source in sources_of(sample)
        if sample.golden_response == source.golden_response
    ]
    assert wrong == []
