"""The estimate of whole comparisons: against measured seconds, against the rules of runs, and at RPGBench's size."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import recipes.cost
from benchmark import Benchmark, PromptRenderer
from benchmark.errors import UserMistakes
from benchmark.published import published_splits
from recipes.cost import processor
from recipes.cost.estimate import CostPlan
from recipes.cost.hardware import find_hardware
from recipes.cost.inputs import CostInputs, read_inputs
from recipes.cost.lengths import Lengths
from recipes.cost.likelihoods import Columns, Pairs, likelihoods
from recipes.cost.model_shape import find_shape
from recipes.cost.population import Population, Populations, find_populations, populations_of
from recipes.cost.setting import Setting
from recipes.cost.showing import notes, plain
from recipes.cost.stage_cost import StageCost
from recipes.cost.tokens import token_counter
from recipes.finding import bundled_recipes
from recipes.reading import method_config
from scoring.negatives import choose_negatives

MEASURED: dict[str, dict[str, dict[str, Any]]] = {
    name: part
    for name, part in json.loads(
        (Path(__file__).parent / "fixtures" / "cost_measured.json").read_text(encoding="utf-8")
    ).items()
    if name != "about"
}
COUNTED = ("responses", "reasoning", "likelihoods")
"""Kinds of stages whose runs count every token that passes a model."""


def estimate(names: list[str], machine: str, overrides: list[str] | None = None, times: int = 1) -> CostPlan:
    return CostPlan(read_inputs(names, overrides or [], times=times), find_hardware(machine))


def stages(plan: CostPlan) -> dict[str, StageCost]:
    return {stage.name: stage for stage in plan.stages}


@pytest.fixture(scope="module")
def demo() -> dict[str, StageCost]:
    return stages(estimate(["demo"], "cpu"))


@pytest.fixture(scope="module")
def rpgbench() -> CostPlan:
    return estimate(["paper/table20"], "h100x8")


def kinds(costs: dict[str, StageCost]) -> list[str]:
    return sorted({costs[name].kind for name in MEASURED["demo"]})


def test_the_demos_time_is_the_measured_one_to_a_factor_of_1_5(demo: dict[str, StageCost]) -> None:
    measured = sum(row["seconds"] for row in MEASURED["demo"].values())
    expected = sum(demo[name].seconds or 0.0 for name in MEASURED["demo"])
    assert 1 / 1.5 < expected / measured < 1.5


def test_every_kind_of_the_demos_stages_takes_the_measured_time_to_a_factor_of_2(demo: dict[str, StageCost]) -> None:
    for kind in kinds(demo):
        names = [name for name in MEASURED["demo"] if demo[name].kind == kind]
        measured = sum(MEASURED["demo"][name]["seconds"] for name in names)
        assert 1 / 2 < sum(demo[name].seconds or 0.0 for name in names) / measured < 2, kind


def test_the_demos_tokens_are_the_counted_ones(demo: dict[str, StageCost]) -> None:
    rows = {name: row["tokens"] for name, row in MEASURED["demo"].items() if demo[name].kind in COUNTED}
    assert len(rows) == 11
    for name, tokens in rows.items():
        assert demo[name].tokens == pytest.approx(tokens, rel=0.35), name


def test_the_demos_memory_is_the_measured_one_to_a_factor_of_2_5(demo: dict[str, StageCost]) -> None:
    for name, row in MEASURED["demo"].items():
        if demo[name].kind in ("policy", "responses", "estimator", "reasoning", "likelihoods"):
            assert 1 / 2.5 < (demo[name].memory_gb or 0.0) / row["peak_memory_gb"] < 2.5, name


def test_trainings_that_nothing_was_fitted_to_are_foretold_to_a_factor_of_2() -> None:
    small = stages(estimate(["small"], "cpu"))
    pairs = {name: (small[name].seconds or 0.0, row["seconds"]) for name, row in MEASURED["small"].items()}
    for name, (expected, measured) in pairs.items():
        assert 1 / 2 < expected / measured < 2, name
    assert 1 / 1.5 < sum(e for e, _ in pairs.values()) / sum(m for _, m in pairs.values()) < 1.5


def test_the_stages_are_those_of_a_run_in_its_order(demo: dict[str, StageCost]) -> None:
    assert list(demo) == list(MEASURED["demo"])


def test_rpgbench_has_the_published_sizes(rpgbench: CostPlan) -> None:
    sizes = {row.split: row.samples for row in published_splits()}
    found = rpgbench.inputs.whole
    assert found.train.size == sizes["IDTrain"] == 5274
    assert found.n_test == sum(sizes.values()) - 5274 == 14771
    assert [found.test[key].size for key in ("id", "german", "turn_level")] == [2637, 972, 670]
    assert sum(found.test[key].size for key in ("literature", "film", "theater", "gaming")) == 5934


def test_the_comparison_of_table_20_has_all_its_stages(rpgbench: CostPlan) -> None:
    found = stages(rpgbench)
    assert len([name for name in found if name.startswith("policy/")]) == 18
    assert len([name for name in found if name.startswith("responses/")]) == 18
    assert all(stage.seconds is not None and stage.seconds > 0 for stage in found.values())
    assert sum(stage.usd or 0.0 for stage in found.values()) == pytest.approx(
        sum(stage.seconds or 0.0 for stage in found.values()) / 3600 * 24
    )
    assert found["policy/Qwen_Qwen3-4B-Base/da"].asking is not None
    assert any("sizes are those of the paper's Table 2" in note for note in notes(rpgbench))


def test_a_hundred_times_the_benchmark_grows_by_its_samples_alone(rpgbench: CostPlan) -> None:
    once, grown = stages(rpgbench), stages(estimate(["paper/table20"], "h100x8", times=100))
    policy = "policy/Qwen_Qwen3-4B-Base/sft"
    assert grown[policy].tokens / once[policy].tokens == pytest.approx(100, rel=0.01)
    assert grown["reasoning"].tokens / once["reasoning"].tokens == pytest.approx(100, rel=0.01)
    assert grown["likelihoods"].tokens / once["likelihoods"].tokens == pytest.approx(100, rel=0.01)
    assert grown["estimator"].tokens == pytest.approx(once["estimator"].tokens, rel=0.001)  # it draws 1,000 samples
    assert grown["scores"].fits is False  # its matrices are N x N
    assert grown["scores"].memory_gb == pytest.approx(1e4 * (once["scores"].memory_gb or 0.0), rel=0.01)


def test_all_pairs_cost_what_their_number_says(rpgbench: CostPlan) -> None:
    drawn = stages(rpgbench)["likelihoods"]
    every = stages(estimate(["paper/table20"], "h100x8", ["scoring.pairs=all"]))["likelihoods"]
    sizes = [population.size for population in rpgbench.inputs.samples.test.values()]
    ratio = sum(n * (n / 4) for n in sizes) / sum(n * 65 for n in sizes)  # four folds; 64 negatives and the own
    assert every.tokens / drawn.tokens == pytest.approx(ratio, rel=0.15)


@pytest.mark.parametrize(("size", "folds", "setting"), [(300, 1, "auto"), (300, 1, "all"), (24, 2, "auto")])
def test_the_negatives_are_as_many_as_are_chosen(mini: Benchmark, size: int, folds: int, setting: str) -> None:
    train = mini.train * 7
    renamed = [type(s)(**{**s.__dict__, "sample_id": str(n), "last_query": str(n)}) for n, s in enumerate(train[:size])]
    numbers = [n % folds for n in range(size)] if folds > 1 else None
    chosen = choose_negatives(renamed, pairs="all" if setting == "all" else "auto", seed=1, folds=numbers)
    counted = Pairs(every=setting == "all", folds=folds).negatives(size)
    assert counted * size == chosen.mask_N_N.sum()


def test_likelihoods_of_a_subset_are_those_worked_out_by_hand(mini: Benchmark, renderer: PromptRenderer) -> None:
    lengths = Lengths(token_counter("smollm2-135m", "model"), renderer)
    setting = Setting(find_hardware("cpu"), find_shape("smollm2-135m", "model"), lengths)
    population = Population("id", 300, mini.test["id"])
    columns = Columns(limits=[10, 10_000], shown=20.0, reasons=True)
    (work,) = likelihoods(setting, {"id": population}, columns, Pairs(every=False, folds=1), 1000)
    golden = lengths.golden(population) + 1
    prefix = lengths.prompt("policy_with_reasoning", population) + 20
    assert work.tokens == pytest.approx(300 * (prefix + 65 * (2 * golden + 10)))


def test_every_bundled_recipe_of_a_method_can_be_estimated() -> None:
    names = [name for name in bundled_recipes() if "/estimator" not in name and name != "paper/table20"]
    folders = dict.fromkeys(name.rpartition("/")[0] for name in names)
    assert len(names) >= 36
    for folder in folders:
        found = estimate([folder], "a100-80g").stages
        policies = [stage for stage in found if stage.kind == "policy"]
        assert len(policies) == sum(name.rpartition("/")[0] == folder for name in names)
        assert all(stage.works is not None for stage in found), folder


def test_a_method_of_an_unknown_kind_stands_in_no_total(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recipes.cost.estimate.make_policy", lambda *_: None)
    plan = estimate(["demo/sft"], "cpu")
    found = stages(plan)["policy/sft"]
    assert (found.seconds, found.usd, found.memory_gb, found.fits) == (None, None, None, None)
    assert plain(plan)["totals"]["policy"]["seconds"] == 0.0
    assert any("policy/sft: nothing is known of how it trains" in note for note in notes(plan))


def test_kinds_of_training_are_told_by_settings_and_not_by_names(monkeypatch: pytest.MonkeyPatch) -> None:
    from recipes.cost.policies import Policy, make_policy
    from rpm_methods.registry import methods

    plan = estimate(["demo/grpo"], "cpu")
    recipe, train = plan.inputs.recipes[0], plan.inputs.samples.train
    lengths = Lengths(token_counter("smollm2-135m", "model"), PromptRenderer())
    setting = Setting(plan.hardware, find_shape("smollm2-135m", "model"), lengths)
    renamed = recipe.model_copy(update={"method": "of_a_third_party"})
    spec = methods()["grpo"].spec
    assert make_policy(Policy(renamed, spec, method_config(recipe), train), setting)

    class Odd(type(method_config(recipe))):  # type: ignore[misc]
        trl_config = "KTOConfig"

    assert make_policy(Policy(renamed, spec, Odd(), train), setting) is None


def test_recipes_that_cannot_be_compared_are_refused(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        (tmp_path / f"{name}.yaml").write_text(f"kind: method\nextends: demo/sft\nbase_model: minilm\nseed: {seed}\n")
    with pytest.raises(UserMistakes, match="sft: seed: differs from that of sft"):
        read_inputs([str(tmp_path)], [])


def test_a_benchmark_that_is_not_here_is_a_mistake_and_is_not_fetched() -> None:
    with pytest.raises(UserMistakes, match="is not in the hub's local cache"):
        find_populations("someone/something")


def test_a_recipes_draw_limits_the_populations(mini: Benchmark) -> None:
    whole = populations_of(mini)
    found = whole.drawn(16, 3, ["id", "korean"])
    assert (found.train.size, found.n_test, list(found.test)) == (16, 6, ["id", "korean"])
    assert found.train.share == 16 / 48
    assert isinstance(whole.times(3), Populations)
    assert whole.times(3).n_test == 3 * whole.n_test


def test_arrays_of_a_run_without_the_in_distribution_test_have_no_shifts(mini: Benchmark) -> None:
    test = {key: populations_of(mini).test[key] for key in ("german", "korean")}
    table = processor.Table(test, test, 2, 1, 100, Pairs(every=False, folds=1), 384)
    assert processor.divergences(table).seconds == processor.FIXED
    assert processor.bounds(table).seconds == processor.FIXED


def test_nothing_of_the_estimate_needs_torch() -> None:
    folder = Path(recipes.cost.__file__).parent
    modules = [f"recipes.cost.{path.stem}" for path in folder.glob("*.py") if path.stem != "__init__"]
    assert len(modules) > 15
    code = f"import sys, importlib; [importlib.import_module(m) for m in {modules!r}]; print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_inputs_name_stages_as_a_run_does() -> None:
    one, two = read_inputs(["demo/sft"], []), read_inputs(["paper/table20"], [])
    assert isinstance(one, CostInputs)
    assert [one.name(recipe) for recipe in one.recipes] == ["sft"]
    assert two.name(two.recipes[0]) == "Qwen_Qwen3-4B-Base/icl"
    trained = read_inputs(["demo/grpo"], []).trained
    assert [recipe.method for recipe in trained] == ["sft", "grpo"]
