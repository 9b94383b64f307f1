"""CoSER (Wang et al., 2025; `Neph0s/CoSER` on the hub): conversations of novels with their characters' profiles.

Two layouts are read: `test/test_set.json`, a list of conversations that each carry plot, profiles and book, and the
books of `full/`, an object each with `plots`, their `conversation` lists and `character_datasets`; a folder is all its
books. The export for training (`train/*sharegpt*.json`) has lost who speaks and is refused.

- The agent is the speaker with a profile who most often speaks right behind another person, the first of several to
  do so.
- The scenario opens the first query. Utterances of `Environment` stand in queries under that name; no persona is made
  of it.
- Thoughts, which stand in square brackets and which others cannot hear, are taken out of every utterance, the golden
  one too. Utterances that were nothing else are left out.
- Of a book, training takes the plots before `split_plot_index` (nine tenths where there is none) and tests take those
  from it on, as the data set's authors do. Which books are held out altogether is the user's choice of files.
- Plot summaries tell how a scene ends and are not used.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmark.conversion.dialogue import Utterance
from benchmark.conversion.draft import ConversionSettings, Draft
from benchmark.conversion.json_source import JsonSource, read_json_source
from benchmark.conversion.tally import Tally
from benchmark.errors import Mistake, UserMistakes

HAS_OTHER_SPEAKERS = True
NARRATOR = "Environment"
DOMAIN = "Literature"
TRAIN_SHARE = 0.9
_THOUGHT = re.compile(r"\[[^\[\]]*\]")
_CONVERSATION = ("scenario", "dialogues", "speaking_characters_w_env", "major_characters")
"""Fields of a conversation that are read, or follow from those that are."""
_OF_TEST_SET = ("plot", "character_profiles", "book", "i_p", "i_c")
_PLOT = ("key_characters", "conversation", "i_p")
_UTTERANCE = ("character", "name", "message")


def drafts(path: Path, settings: ConversionSettings, tally: Tally) -> Iterator[Draft]:
    """Yield a draft for each conversation of a file or a folder of books.

    Raises:
        UserMistakes: a file cannot be read or has neither layout.
    """
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise UserMistakes([Mistake(str(path), "the folder holds no .json file", "name CoSER's full/ or a file")])
    for file in files:
        source = read_json_source(file, (None,), ("plots", None, "conversation", None))
        if isinstance(source.content, dict) and isinstance(source.content.get("plots"), list):
            yield from _book(source, settings, tally)
        elif isinstance(source.content, list) and not _is_export(source.content):
            yield from _test_set(source, tally)
        else:
            problem = "is neither CoSER's test set nor one of its books"
            raise UserMistakes([Mistake(str(file), problem, "name test/test_set.json, full/ or a book of it")])


def _is_export(rows: Sequence[object]) -> bool:
    return any(isinstance(row, dict) and "conversations" in row for row in rows)


def _test_set(source: JsonSource, tally: Tally) -> Iterator[Draft]:
    for index, row in enumerate(source.content):
        where = source.where(index)
        plot, profiles = (row.get("plot"), row.get("character_profiles")) if isinstance(row, dict) else (None, None)
        if not isinstance(plot, dict) or not isinstance(profiles, dict):
            tally.refuse(where, "has no plot or no character_profiles")
            continue
        tally.count_unread(row, (*_CONVERSATION, *_OF_TEST_SET))
        tally.count_unread(plot, _PLOT, "plot.")
        place = f"{row.get('book')}-{row.get('i_p', index)}-{row.get('i_c', 0)}"
        found = _conversation(row, plot, profiles, str(row.get("book", "")), place, where, tally)
        if found is not None:
            yield found


def _book(source: JsonSource, settings: ConversionSettings, tally: Tally) -> Iterator[Draft]:
    content, book = source.content, source.path.stem
    tally.count_unread(content, ("plots", "character_datasets", "split_plot_index"), "book.")
    datasets = content.get("character_datasets")
    profiles = {name: entry.get("profile") for name, entry in _objects(datasets)}
    plots = content["plots"]
    given = content.get("split_plot_index")
    border = given if isinstance(given, int) else int(TRAIN_SHARE * len(plots))
    for i_p, plot in enumerate(plots):
        conversations = plot.get("conversation") if isinstance(plot, dict) else None
        if not isinstance(conversations, list):
            tally.refuse(source.where(i_p), f"plots[{i_p}] has no list of conversations")
            continue
        if (i_p < border) != settings.target.is_train:
            tally.changes["conversations in the other part of a book left out"] += len(conversations)
            continue
        tally.count_unread(plot, _PLOT, "plot.")
        for i_c, conversation in enumerate(conversations):
            where, place = source.where(i_p, i_c), f"{book}-{i_p}-{i_c}"
            if not isinstance(conversation, dict):
                tally.refuse(where, "is not an object")
                continue
            tally.count_unread(conversation, _CONVERSATION)
            found = _conversation(conversation, plot, profiles, book, place, where, tally)
            if found is not None:
                yield found


def _objects(value: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the members of an object that are objects."""
    for name, entry in value.items() if isinstance(value, dict) else ():
        if isinstance(entry, dict):
            yield name, entry


def _conversation(
    row: Mapping[str, Any],
    plot: Mapping[str, Any],
    profiles: Mapping[str, Any],
    book: str,
    place: str,
    where: str,
    tally: Tally,
) -> Draft | None:
    """Return the draft of a conversation, or None after recording why there is none."""
    utterances = _utterances(row.get("dialogues"), where, tally)
    if utterances is None:
        return None
    known = {name: text.strip() for name, text in profiles.items() if isinstance(text, str) and text.strip()}
    pairs = pairwise(utterances)
    answering = [after.speaker for before, after in pairs if before.is_person and before.speaker != after.speaker]
    agent = next((name for name, _ in Counter(answering).most_common() if name in known), None)
    if agent is None:
        tally.refuse(where, "nobody with a profile answers another person")
        return None
    described = _descriptions(plot)
    scenario = row.get("scenario")
    return Draft(
        where=where,
        name=f"coser-{place}-{agent}",
        agent=agent,
        character={
            "character_name": agent,
            "character_domain": DOMAIN,
            "character_source": book,
            "basic_character_information": described.get(agent, ""),
            "character_background": known[agent],
        },
        utterances=tuple(utterances),
        opening=scenario.strip() if isinstance(scenario, str) else "",
        profiles={**described, **known},
    )


def _utterances(rows: object, where: str, tally: Tally) -> list[Utterance] | None:
    """Return what can be heard, or None after recording the first utterance that cannot be read."""
    found = []
    changed = empty = 0
    for number, row in enumerate(rows if isinstance(rows, list) else [None]):
        fields = row if isinstance(row, dict) else {}
        speaker, message = fields.get("character", fields.get("name")), fields.get("message")
        if not isinstance(speaker, str) or not speaker.strip() or not isinstance(message, str):
            tally.refuse(where, f"dialogues[{number}] has no speaker or no message")
            return None
        tally.count_unread(fields, _UTTERANCE, "dialogues.")
        heard = _THOUGHT.sub("", message)
        changed += heard != message
        text = "\n".join(line for line in (" ".join(line.split()) for line in heard.split("\n")) if line)
        empty += not text
        if text:
            found.append(Utterance(speaker.strip(), text, is_person=speaker.strip() != NARRATOR))
    tally.changes.update(_counts({"utterances with thoughts taken out": changed, "silent utterances left out": empty}))
    return found


def _counts(counts: Mapping[str, int]) -> dict[str, int]:
    return {what: count for what, count in counts.items() if count}


def _descriptions(plot: Mapping[str, Any]) -> dict[str, str]:
    """Return the plot's sentence about each of its characters."""
    rows = plot.get("key_characters")
    found = {}
    for row in rows if isinstance(rows, list) else ():
        fields = row if isinstance(row, dict) else {}
        name, text = fields.get("name", fields.get("character")), fields.get("description")
        if isinstance(name, str) and isinstance(text, str) and text.strip():
            found[name.strip()] = text.strip()
    return found
