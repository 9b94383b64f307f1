"""Recipes: every one in the tree is valid, and every mistake in one is named with its line and the nearest key."""

from pathlib import Path

import pytest
from score_helpers import write_benchmark
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

import benchmark
from benchmark import PromptRenderer, UserMistakes
from recipes.comparison import prepare_comparison
from recipes.finding import bundled_recipes
from recipes.reading import read_recipes
from recipes.schema import MethodRecipe
from scoring.models.chat import ChatTokenizer
from scoring.models.packaged import packaged_file

GOOD = "kind: method\nmethod: icl\nbase_model: smollm2-135m\nestimator: demo/estimator\n"


def write(tmp_path: Path, text: str, name: str = "recipe.yaml") -> str:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def mistakes_of(*names: str, overrides: tuple[str, ...] = ()) -> list[str]:
    with pytest.raises(UserMistakes) as caught:
        read_recipes(list(names), list(overrides))
    return [str(mistake) for mistake in caught.value.mistakes]


def read_one(name: str, *overrides: str) -> MethodRecipe:
    ((_, recipe),) = read_recipes([name], list(overrides))
    assert isinstance(recipe, MethodRecipe)
    return recipe


def test_the_demo_has_the_demos_fixed_size() -> None:
    for name in ("demo/icl", "demo/sft"):
        recipe = read_one(name)
        assert (recipe.benchmark.train_samples, recipe.benchmark.test_samples) == (16, 3)
        assert recipe.generation.max_new_tokens == 48
        assert "too small to rank methods" in recipe.caution


def test_recipes_are_found_by_name_from_any_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_one("demo/sft").method == "sft"
    assert read_one("recipes/demo/sft.yaml").method == "sft"
    assert len(read_recipes(["demo"], [])) == len([name for name in bundled_recipes() if name.startswith("demo/")])


def test_an_unknown_key_is_named_with_line_and_nearest_key(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD + "benchmark:\n  tran_samples: 3\n")
    assert mistakes_of(path) == [f"{path}:6: benchmark.tran_samples: unknown key; did you mean 'train_samples'?"]


def test_all_mistakes_come_together(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD + "sed: 3\ngeneration:\n  max_new_tokens: none\ncompute:\n  device: tpu\n")
    found = mistakes_of(path)
    assert [line.split(": ")[1] for line in found] == ["generation.max_new_tokens", "compute.device", "sed"]
    assert [line.split(": ")[0].rsplit(":", 1)[1] for line in found] == ["7", "9", "5"]


def test_an_unknown_method_names_the_nearest_one(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.replace("icl", "stf"))
    assert mistakes_of(path) == [f"{path}:2: unknown method 'stf'; did you mean 'sft'?"]


def test_a_methods_own_settings_are_checked_too(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD + "config:\n  exampels: 3\n")
    assert mistakes_of(path) == [f"{path}:6: config.exampels: unknown key; did you mean 'examples'?"]


@pytest.mark.parametrize(
    ("part", "key", "near"), [("training", "learning_rat", "learning_rate"), ("lora", "lora_alhpa", "lora_alpha")]
)
def test_arguments_of_trl_and_peft_are_checked_by_their_own_names(
    tmp_path: Path, part: str, key: str, near: str
) -> None:
    path = write(tmp_path, GOOD.replace("icl", "sft") + f"config:\n  {part}:\n    {key}: 1\n")
    (found,) = mistakes_of(path)
    assert f"unknown argument '{key}', did you mean '{near}'?" in found


def test_a_value_that_trl_refuses_is_a_mistake_before_anything_runs(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.replace("icl", "sft") + "config:\n  training:\n    lr_scheduler_type: cosin\n")
    assert "refused by SFTConfig" in mistakes_of(path)[0]


def test_an_argument_that_follows_from_the_recipe_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.replace("icl", "sft") + "config:\n  training:\n    output_dir: x\n")
    assert "'output_dir' is set by the recipe's other keys" in mistakes_of(path)[0]


def test_a_recipe_lies_over_what_it_extends_and_lines_point_into_the_right_file(tmp_path: Path) -> None:
    write(tmp_path, GOOD + "seed: 7\ngeneration:\n  max_new_tokens: 9\n", "_base.yaml")
    path = write(tmp_path, "kind: method\nextends: _base\ngeneration:\n  temperature: 0.5\n")
    recipe = read_one(path)
    assert (recipe.seed, recipe.generation.max_new_tokens, recipe.generation.temperature) == (7, 9, 0.5)
    write(tmp_path, GOOD + "sede: 7\n", "_base.yaml")
    assert mistakes_of(path)[0].startswith(f"{tmp_path / '_base.yaml'}:5: sede")


def test_extending_in_a_circle_or_into_nothing_is_a_mistake(tmp_path: Path) -> None:
    a = write(tmp_path, "kind: method\nextends: b\n", "a.yaml")
    write(tmp_path, "kind: method\nextends: a\n", "b.yaml")
    assert "extends this recipe again" in mistakes_of(a)[0]
    c = write(tmp_path, "kind: method\nextends: nothing\n", "c.yaml")
    assert "which is no recipe" in mistakes_of(c)[0]


def test_set_replaces_values_and_its_mistakes_name_it() -> None:
    recipe = read_one("demo/sft", "config.training.learning_rate=1e-4", "seed=3")
    assert (recipe.config["training"]["learning_rate"], recipe.seed) == (1e-4, 3)
    assert recipe.config["lora"]["r"] == 16
    found = mistakes_of("demo/sft", overrides=("sead=3", "nonsense"))
    assert any("--set nonsense: is not of the form" in line for line in found)
    assert any(line.startswith("--set sead=3: sead: unknown key") for line in found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("method: icl\n", "has no kind"),
        ("kind: metod\n", "kind is 'metod'"),
        ("- a\n", "is not a mapping"),
        ("kind: method\n\ta: b\n", ":2: is not valid YAML"),
        (GOOD + "seed: 1\nseed: 2\n", ":6: the key 'seed' stands twice"),
        ("kind: method\n", "base_model: is missing"),
        ("kind: method\nx: !!python/object/apply:os.getcwd []\n", "could not determine a constructor"),
    ],
)
def test_files_that_are_no_recipes_are_refused(tmp_path: Path, text: str, message: str) -> None:
    assert any(message in line for line in mistakes_of(write(tmp_path, text)))


def test_a_recipe_that_does_not_exist_names_the_nearest() -> None:
    assert "did you mean 'demo/sft'?" in mistakes_of("demo/stf")[0]


def test_recipes_that_differ_in_what_must_agree_cannot_be_compared(tmp_path: Path) -> None:
    write(tmp_path, GOOD, "a.yaml")
    write(tmp_path, GOOD.replace("icl", "sft") + "seed: 1\n", "b.yaml")
    with pytest.raises(UserMistakes, match="seed: differs from"):
        prepare_comparison([str(tmp_path)], [])


def test_a_faulty_value_is_not_also_said_to_differ(tmp_path: Path) -> None:
    write(tmp_path, GOOD + "seed: 1\n", "a.yaml")
    write(tmp_path, GOOD.replace("icl", "sft") + "seed: one\n", "b.yaml")
    with pytest.raises(UserMistakes) as caught:
        prepare_comparison([str(tmp_path)], [])
    assert [mistake.where.split(": ")[1] for mistake in caught.value.mistakes] == ["seed"]


def test_the_same_method_twice_is_a_mistake(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        write(tmp_path, GOOD, name)
    with pytest.raises(UserMistakes, match="more than one recipe"):
        prepare_comparison([str(tmp_path)], [])


def test_models_benchmark_and_templates_are_checked_before_anything_runs(tmp_path: Path) -> None:
    text = GOOD.replace("smollm2-135m", "smolm2") + "templates: nowhere\nbenchmark:\n  source: missing.json\n"
    path = write(tmp_path, text + "config:\n  embedding_model: minilmm\n")
    with pytest.raises(UserMistakes) as caught:
        prepare_comparison([path], [])
    text = str(caught.value)
    for part in ("base_model: no model 'smolm2'", "config.embedding_model", "missing.json", "the template folder"):
        assert part in text


def test_mistakes_in_a_recipe_do_not_hide_those_in_what_it_names(tmp_path: Path) -> None:
    text = GOOD.replace("icl", "stf").replace("smollm2-135m", "smolm2")
    path = write(tmp_path, text + "sede: 1\nbenchmark:\n  source: missing.json\n  test_samples: many\n")
    with pytest.raises(UserMistakes) as caught:
        prepare_comparison([path], [])
    text = str(caught.value)
    for part in ("did you mean 'sft'", "did you mean 'seed'", "benchmark.test_samples", "'smolm2'", "missing.json"):
        assert part in text
    assert len(caught.value.mistakes) == 5


def test_the_draw_of_samples_is_seeded_and_keeps_file_order() -> None:
    first = prepare_comparison(["demo"], [])
    again = prepare_comparison(["demo"], [])
    other = prepare_comparison(["demo"], ["seed=1"])
    assert (first.train, first.test) == (again.train, again.test)
    assert first.train != other.train
    assert len(first.train) == 16
    assert {len(rows) for rows in first.test.values()} == {3}
    ids = [sample.sample_id for sample in first.train]
    assert ids == sorted(ids)


def closed_vocabulary(folder: Path, words: list[str]) -> Path:
    """Write a folder that looks like a model's, with a tokenizer that knows these words alone."""
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(["[UNK]", *words])}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("\n", "isolated")
    tokenizer.decoder = decoders.Fuse()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]").save_pretrained(folder)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    return folder


def tag_mistakes(base_model: Path, recipe: str, *overrides: str) -> list[str]:
    with pytest.raises(UserMistakes) as caught:
        prepare_comparison([recipe], [f"base_model={base_model}", "benchmark.source=missing.json", *overrides])
    return [str(mistake) for mistake in caught.value.mistakes if "cannot write" in mistake.problem]


def test_a_base_model_that_cannot_write_the_tags_of_templates_is_a_mistake(tmp_path: Path) -> None:
    tags = {
        text for template in PromptRenderer().templates.values() for text in (template.answer_prefix, template.stop)
    }
    words = {word for text in tags for word in text.split("\n") if word} | {"\n", "</Thinking>", "<Agent Response>"}
    able = closed_vocabulary(tmp_path / "able", sorted(words))
    assert tag_mistakes(able, "demo/thinking_sft") == []
    unable = closed_vocabulary(tmp_path / "unable", sorted(words - {"<Agent Response>"}))
    found = tag_mistakes(unable, "demo/sft")
    assert [line.split(" of the template ")[1].split(";")[0] for line in found] == ["response", "response_blanked"]
    assert all(f"base_model: {unable} cannot write '<Agent Response>\\n' of" in line for line in found)
    assert all(line.endswith("or templates with other tags (templates: FOLDER)") for line in found)


def test_the_tags_between_thinking_and_response_count_for_methods_that_think(tmp_path: Path) -> None:
    tags = {
        text for template in PromptRenderer().templates.values() for text in (template.answer_prefix, template.stop)
    }
    words = {word for text in tags for word in text.split("\n") if word} | {"\n"}
    base = closed_vocabulary(tmp_path / "model", sorted(words))
    assert tag_mistakes(base, "demo/sft") == []
    (found,) = tag_mistakes(base, "demo/thinking_sft")
    assert "cannot write '</Thinking>' of the template response_thinking" in found


def test_the_tags_of_the_users_own_templates_are_checked(tmp_path: Path, tiny_model: Path) -> None:
    folder = tmp_path / "templates"
    folder.mkdir()
    bundled = (Path(benchmark.__file__).parent / "templates" / "response_thinking.yaml").read_text()
    (folder / "response_thinking.yaml").write_text(bundled.replace("  <Thinking>\nstop", "  Thinking:\nstop"))
    with pytest.raises(UserMistakes, match="must be the opening tag of the thinking"):
        prepare_comparison(["demo/thinking_sft"], [f"base_model={tiny_model}", f"templates={folder}"])
    prepare_comparison(["demo/sft"], [f"base_model={tiny_model}", f"templates={folder}"])


def test_a_model_from_the_hubs_cache_is_checked_by_its_tokenizer_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = tmp_path / "models--some--model"
    closed_vocabulary(cached / "snapshots" / "c0ffee", ["word"])
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("c0ffee")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    (first, *_) = tag_mistakes(Path("some/model"), "demo/sft")
    assert "some/model cannot write '<Agent Response>\\n', '</Agent Response>' of the template response" in first


def test_a_tokenizer_that_cannot_be_read_is_a_mistake_among_the_others(tmp_path: Path) -> None:
    folder = closed_vocabulary(tmp_path / "model", ["word"])
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(UserMistakes) as caught:
        prepare_comparison(["demo/sft"], [f"base_model={folder}", "benchmark.source=missing.json"])
    text = str(caught.value)
    assert "cannot be read" in text
    assert "missing.json" in text


def test_packaged_models_can_write_the_tags_so_they_are_passed_over() -> None:
    source = packaged_file("smollm2-135m")
    chat = ChatTokenizer(AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name))
    templates = PromptRenderer().templates.values()
    assert chat.unspelled([text for t in templates for text in (t.answer_prefix, t.stop)]) == []
    assert chat.unspelled([f"{character}\n" for character in "<>#:/é中あ한"]) == []


def test_a_benchmark_without_training_samples_is_a_mistake_before_anything_runs(tmp_path: Path) -> None:
    write_benchmark(tmp_path / "untrained.json", train=0)
    with pytest.raises(UserMistakes, match="has no training samples; add a split IDTrain"):
        prepare_comparison(["demo/sft"], [f"benchmark.source={tmp_path / 'untrained.json'}"])
