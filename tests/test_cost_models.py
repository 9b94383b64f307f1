"""Sizes of models from their configurations, tokens by characters, and the machines of the catalogue."""

from pathlib import Path

import pytest

from benchmark import Benchmark, PromptRenderer
from benchmark.errors import UserMistakes
from recipes.cost.hardware import Hardware, catalogue, find_hardware
from recipes.cost.model_shape import find_shape, known_models, shape_of
from recipes.cost.tokens import token_counter, tokens_by_script
from recipes.cost.work import Work

SMALL = {
    "num_hidden_layers": 2,
    "hidden_size": 6,
    "num_attention_heads": 3,
    "num_key_value_heads": 1,
    "head_dim": 4,
    "intermediate_size": 10,
    "vocab_size": 7,
    "tie_word_embeddings": False,
}
FILE = """title: a machine
bfloat16_tflops: 2
float32_tflops: 1
memory_gb: 10
bandwidth_gb_s: 100
usd_an_hour: 3
shares: {scoring: 0.5, training: 0.25, decoding: 0.1}
seconds_a_layer: 0.5
start_seconds: 7
load_gb_s: 2
sources: {usd_an_hour: "measured: here"}
"""


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("smollm2-135m", 134.5),
        ("Qwen/Qwen3-4B-Base", 4022),
        ("Qwen/Qwen3-8B", 8191),
        ("meta-llama/Meta-Llama-3-8B", 8030),
        ("Qwen/Qwen3-Embedding-0.6B", 596),
        ("minilm", 22.4),
    ],
)
def test_known_models_have_the_parameters_that_their_cards_name(name: str, millions: float) -> None:
    assert find_shape(name, "base_model").parameters / 1e6 == pytest.approx(millions, rel=0.01)


def test_a_small_models_numbers_are_those_worked_out_by_hand() -> None:
    shape = shape_of("small", SMALL)
    # query 6 x 12, key and value 6 x 4 each, output 12 x 6, three matrices of 6 x 10
    assert shape.body == 2 * (72 + 24 + 24 + 72 + 3 * 60)
    assert shape.parameters == shape.body + 2 * 6 * 7
    assert shape.token_operations == 2 * shape.body
    assert shape.head_operations == 2 * 42
    # each head's query meets a key (4 products and sums) and weighs a value (4): 2 layers x 3 heads x 2 x 2 x 4
    assert shape.key_operations == 96
    assert shape.cache_numbers == 2 * 2 * 4
    assert shape.adapter(5) == 2 * 5 * (18 + 10 + 10 + 18 + 3 * 16)


def test_an_adapter_has_as_many_weights_as_training_found() -> None:
    assert find_shape("smollm2-135m", "base_model").adapter(16) == 4_884_480


def test_a_models_folder_is_read(tiny_model: Path) -> None:
    from safetensors import safe_open

    shape = find_shape(str(tiny_model), "base_model")
    assert (shape.layers, shape.hidden, shape.tied) == (2, 32, True)
    with safe_open(tiny_model / "model.safetensors", framework="pt") as weights:
        sizes = [weights.get_slice(name).get_shape() for name in weights.keys()]  # noqa: SIM118 - it is no mapping
    assert shape.parameters == sum(rows * columns for rows, columns in (s for s in sizes if len(s) == 2))


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({**SMALL, "num_experts": 8}, "mixture of experts"),
        ({"num_hidden_layers": 2}, "does not give hidden_size, num_attention_heads, intermediate_size, vocab_size"),
    ],
)
def test_a_configuration_that_does_not_tell_the_cost_is_refused(config: dict[str, object], problem: str) -> None:
    with pytest.raises(UserMistakes, match=problem):
        shape_of("some/model", config)


@pytest.mark.parametrize("name", ["no/such", "nothing", "no id/of the hub", "a/b/c"])
def test_a_model_that_is_not_here_is_a_mistake_and_is_not_fetched(name: str) -> None:
    with pytest.raises(UserMistakes, match=f"recipe: base_model: the size of the model {name} is not known here"):
        find_shape(name, "recipe: base_model")
    with pytest.raises(UserMistakes, match=f"the tokenizer of the model {name} is not here"):
        token_counter(name, "base_model")


def test_a_packaged_model_need_not_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert find_shape("smollm2-135m", "base_model").layers == 30
    assert token_counter("minilm", "scoring.embedding").measured is False


def test_tokens_by_characters_go_by_script() -> None:
    rates = {"latin": 4.0, "accented": 0.5, "han": 1.0, "kana": 2.0, "hangul": 0.25}
    assert tokens_by_script("abcd", rates) == 1
    assert tokens_by_script("ü", rates) == 2
    assert tokens_by_script("水かな한", rates) == 1 + 1 + 4
    assert tokens_by_script("", rates) == 0


@pytest.mark.parametrize(
    ("model", "measured"),
    [  # mean tokens of prompt and golden response by the models' own tokenizers
        ("smollm2-135m", {"id": 631, "german": 1008, "chinese": 1248, "japanese": 1443, "korean": 2184}),
        ("Qwen/Qwen3-8B", {"id": 606, "german": 807, "chinese": 660, "japanese": 736, "korean": 940}),
        ("meta-llama/Meta-Llama-3-8B", {"id": 601, "german": 804, "chinese": 733, "japanese": 753, "korean": 857}),
    ],
)
def test_tokens_by_characters_are_near_those_of_the_tokenizers(
    model: str, measured: dict[str, int], mini: Benchmark, renderer: PromptRenderer
) -> None:
    rates = known_models()[model]["characters_a_token"]
    for key, tokens in measured.items():
        samples = mini.test[key]
        texts = [
            "".join(message.content for message in renderer.render("response", sample).messages)
            + sample.golden_response
            for sample in samples
        ]
        found = sum(tokens_by_script(text, rates) for text in texts) / len(samples)
        assert found == pytest.approx(tokens, rel=0.11), key


def test_a_tokenizer_that_is_here_is_used(tiny_model: Path, mini: Benchmark, renderer: PromptRenderer) -> None:
    from scoring.models.causal_lm import load_chat
    from scoring.models.resolver import locate_model

    counter, chat = token_counter(str(tiny_model), "base_model"), load_chat(locate_model(str(tiny_model)))
    prompt = renderer.render("response", mini.train[0])
    assert counter.measured
    assert counter.count(mini.train[0].golden_response) == len(chat.encode_text(mini.train[0].golden_response))
    assert counter.of_prompt(prompt) == pytest.approx(len(chat.encode_prompt(prompt)), abs=15)


@pytest.mark.parametrize("name", list(catalogue()))
def test_every_machine_says_where_its_figures_come_from(name: str) -> None:
    known = ("measured", "specification", "published", "example", "assumed")
    sources = catalogue()[name].sources
    assert set(sources) == {"tflops", "bandwidth", "usd_an_hour", "shares", "seconds"}
    assert all(source.startswith(known) for source in sources.values())


def test_a_number_behind_a_name_makes_so_many_devices() -> None:
    one, eight = find_hardware("a100-80g"), find_hardware("a100-80gx8")
    assert (one.devices, eight.devices) == (1, 8)
    assert (one.price, eight.price) == (1.475, 8 * 1.475)
    assert find_hardware("rtx4090").devices == 1


def test_a_price_that_is_given_replaces_the_catalogues() -> None:
    found = find_hardware("h100x4", price=2.0)
    assert found.price == 8.0
    assert found.sources["usd_an_hour"] == "given on the command line"


@pytest.fixture
def machine(tmp_path: Path) -> Hardware:
    (tmp_path / "machine.yaml").write_text(FILE)
    return find_hardware(str(tmp_path / "machine.yaml"))


def test_a_file_describes_a_machine(machine: Hardware) -> None:
    assert (machine.title, machine.price, machine.device) == ("a machine", 3.0, "cuda")


def test_every_mistake_in_a_file_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "machine.yaml"
    path.write_text(FILE.replace("memory_gb: 10", "memory_gb: -1").replace("usd_an_hour: 3", "usd_a_hour: 3"))
    with pytest.raises(UserMistakes) as caught:
        find_hardware(str(path))
    told = [str(mistake) for mistake in caught.value.mistakes]
    assert any(line.startswith(f"{path}:4: memory_gb: input should be greater than 0") for line in told)
    assert any("usd_a_hour: unknown key; did you mean 'usd_an_hour'?" in line for line in told)
    assert any("usd_an_hour: is missing" in line for line in told)


@pytest.mark.parametrize("name", ["h10", "h100x0", "nothing.yaml"])
def test_a_machine_that_is_not_known_is_a_mistake(name: str) -> None:
    with pytest.raises(UserMistakes):
        find_hardware(name)


@pytest.mark.parametrize(
    ("work", "seconds"),
    [
        (Work("w", "scoring", operations=2e12), 2.0),  # half of 2e12 a second
        (Work("w", "training", operations=2e12), 4.0),  # a quarter of it
        (Work("w", "scoring", operations=2e12, precision="float32"), 4.0),
        (Work("w", "decoding", operations=1e12, bytes_read=30e9), 3.0),  # a tenth of 100e9 a second
        (Work("w", "scoring", operations=2e12, layer_passes=10), 5.0),  # ten times half a second, arithmetic meanwhile
        (Work("w", "scoring", operations=2e12, starts=1, loaded=4e9), 2.0 + 7.0 + 2.0),
        (Work("w", "processor", seconds=6.0), 6.0),
    ],
)
def test_the_time_of_work_is_that_worked_out_by_hand(machine: Hardware, work: Work, seconds: float) -> None:
    assert machine.seconds(work) == pytest.approx(seconds)


def test_a_processor_adds_the_fixed_cost_of_passes(machine: Hardware) -> None:
    processor = machine.model_copy(update={"processor": True})
    assert processor.seconds(Work("w", "scoring", operations=2e12, layer_passes=10)) == pytest.approx(2.0 + 5.0)


def test_devices_share_the_work_but_not_the_loading_nor_the_processors(machine: Hardware) -> None:
    four = machine.model_copy(update={"devices": 4, "spread": 0.5})
    assert four.seconds(Work("w", "scoring", operations=2e12, starts=1)) == pytest.approx(1.0 + 7.0)
    assert four.seconds(Work("w", "processor", seconds=6.0)) == 6.0
