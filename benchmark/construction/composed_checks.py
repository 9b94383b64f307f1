"""What composed dialogues have to meet beside their sources: few words changed, or turns of both."""

from collections.abc import Sequence

from benchmark.construction.settings import CheckSettings
from benchmark.construction.text_measures import edit_distance, share_changed, words
from benchmark.sample import Sample

MOST_REWORDED = 0.5
"""Share of words up to which a query counts as the same in other words."""


def changed_words(old: str, new: str) -> int:
    """Return the edit distance over words between two queries; punctuation and case do not count."""
    return edit_distance(words(old), words(new))


def fault_of_query(old: str, new: str, settings: CheckSettings) -> str | None:
    """Return what is wrong with a last query that was made from another by changing a word."""
    changed = changed_words(old, new)
    if changed == 0:
        return "no word of the query is changed"
    if changed > settings.most_changed_words:
        return f"{changed} words of the query are changed, and at most {settings.most_changed_words} may be"
    return None


def fault_of_response(old: str, new: str, settings: CheckSettings) -> str | None:
    """Return what is wrong with a golden response that goes with a changed query."""
    share = share_changed(old, new)
    if share < settings.least_response_change:
        return f"{share:.0%} of the answer is changed, and at least {settings.least_response_change:.0%} has to be"
    return None


def queries(sample: Sample) -> list[str]:
    """Return all user queries of a sample."""
    return [*(turn.user_query for turn in sample.turns), sample.last_query]


def returning(earlier: Sequence[str], later: Sequence[str]) -> int:
    """Return how many of the earlier queries come back among the later ones, in nearly the same words."""
    return sum(min(share_changed(query, other) for other in later) <= MOST_REWORDED for query in earlier)


def fault_of_mixture(made: Sequence[str], sources: Sequence[Sample], settings: CheckSettings) -> str | None:
    """Return what is wrong with the queries of a dialogue composed of the turns of others."""
    for number, source in enumerate(sources, start=1):
        count = returning(queries(source), made)
        if count < settings.least_queries_from_each:
            least = settings.least_queries_from_each
            return f"{count} queries of dialogue {number} come back, and at least {least} have to"
    return None


def fault_of_composition(sample: Sample, sources: Sequence[Sample], settings: CheckSettings) -> str | None:
    """Return what is wrong with a composed sample beside its sources."""
    people = {(source.user_persona, source.agent_character) for source in sources}
    if people != {(sample.user_persona, sample.agent_character)}:
        return "its sources have another persona or character"
    if sample.subset == "turn_level":
        if len(sources) != 2 or len(sample.turns) != 7:
            return "it is not eight rounds made from two dialogues"
        return fault_of_mixture(queries(sample), sources, settings)
    if len(sources) != 1 or sources[0].turns != sample.turns:
        return "its rounds before the last are not those of its one source"
    source = sources[0]
    return fault_of_query(source.last_query, sample.last_query, settings) or fault_of_response(
        source.golden_response, sample.golden_response, settings
    )
