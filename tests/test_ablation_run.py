"""The ablation from a recipe to its files, on the tiny model: what each variant is, reuse, resumption, refusals."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
import typer
from peft import PeftModel
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

from benchmark import PromptRenderer, Sample, UserMistakes
from benchmark.progress import SilentProgress
from benchmark.run_store import RunStore, append_jsonl, read_json, read_jsonl
from corl.ablation_variants import VARIANTS
from corl.estimator_loop import reasoning_settings
from recipes.ablation import PreparedAblation, prepare_ablation, run_ablation
from recipes.cli.ablation_command import ablation
from recipes.display import StageLines
from recipes.environment import settle_compute
from recipes.stage import run_stages
from recipes.stage_estimator import training_stage
from rpm_methods.rollout_source import RewardPart
from rpm_methods.training_rows import training_rows
from scoring.models.causal_lm import load_causal_lm, load_chat
from scoring.models.resolver import locate_model
from scoring.reasoning import ReasoningCache, write_reasonings

NAMES = [variant.name for variant in VARIANTS]
RECIPE = """kind: estimator
estimator: corl
model: {model}
benchmark: {{source: mini, train_samples: 4, test_samples: 4, subsets: [german, film]}}
fit_on: [german, film]
folds: 2
config:
  template: reasoning_features
  iterations: 1
  max_reasoning_tokens: 8
  max_response_tokens: 6
  lora: {{r: 2}}
  cold_start: {sft}
  imitation: {sft}
  reasoning_rl: {rl}
  response_rl: {rl}
  held_out: {{samples: 1, every: 1}}
compute: {{device: cpu, dtype: float32, threads: 1}}
"""
SFT = "{training: {max_steps: 1, learning_rate: 1.0e-2, warmup_steps: 0, per_device_train_batch_size: 2}}"
RL = "{training: {max_steps: 1, learning_rate: 1.0e-2, num_generations: 2, per_device_train_batch_size: 2}}"
CURVES = "figures/training/estimator/fold-{}.svg"
WRITTEN = ("ablation.md", "ablation.json", "ablation.csv", CURVES.format(1), "training/README.md")


@dataclass(frozen=True)
class Finished:
    """A run over both folds that nothing interrupted."""

    recipe: Path
    out: Path
    taught: list[tuple[str, list[Sample], list[str] | None]]
    """Template, samples and what is shown of each training that the ablation added, in order."""


@pytest.fixture
def recipe(tiny_model: Path, tmp_path: Path) -> Path:
    path = tmp_path / "estimator.yaml"
    path.write_text(RECIPE.format(model=tiny_model, sft=SFT, rl=RL))
    return path


@pytest.fixture(scope="module")
def finished(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    folder = tmp_path_factory.mktemp("ablation")
    path = folder / "estimator.yaml"
    path.write_text(RECIPE.format(model=tiny_model, sft=SFT, rl=RL))
    made = Finished(path, folder / "out", [])

    def watched(samples: Sequence[Sample], renderer: PromptRenderer, template: str, *rest: Any, **named: Any) -> Any:  # noqa: ANN401
        made.taught.append((template, list(samples), named["reasonings"]))
        return training_rows(samples, renderer, template, *rest, **named)

    def uneven(*arguments: object) -> list[RewardPart]:
        return [RewardPart("uneven", lambda sample, rollouts: [float(sum(r.ids) % 97) for r in rollouts])]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("corl.ablation_variants.training_rows", watched)
        patch.setattr("corl.estimator_loop.response_rewards", uneven)
        ablate(prepare_ablation(str(path), [], ()), made.out)
    yield made


def ablate(prepared: PreparedAblation, out: Path) -> list[str]:
    """Run and return what was told of the stages."""
    told: list[str] = []
    run_ablation(prepared, out, progress=SilentProgress(), observer=StageLines(told.append))
    return told


def must_not_run(*arguments: object, **named: object) -> NoReturn:
    raise AssertionError("computed again")


def contents(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in WRITTEN}


@pytest.mark.slow
def test_every_variant_is_scored_on_what_its_fold_held_out_and_learns_nothing_of_it(finished: Finished) -> None:
    found = read_json(finished.out / "ablation.json")
    assert (found["folds_used"], found["counts"]["held_out"], found["counts"]["compared"]) == ([0, 1], 8, 8)
    assert {row["group"] for row in found["perplexity"]} == {"user", "character"}
    seen: list[str] = []
    for number in (0, 1):
        (folder,) = finished.out.glob(f"stages/ablation-fold-{number}-*")
        rows = {name: read_jsonl(folder / "likelihoods" / f"{name}.jsonl") for name in NAMES}
        (held,) = {tuple(row["sample_id"] for row in of) for of in rows.values()}
        seen += held
        (with_r, evolve, shown), (without, cold, _), (again, same, _) = finished.taught[3 * number : 3 * number + 3]
        assert (with_r, without, again) == ("policy_with_reasoning", *["policy_without_reasoning"] * 2)
        assert evolve == same
        assert len(cold) == len(same) == 4
        assert not {s.sample_id for s in (*evolve, *cold)} & set(held)
        texts = ReasoningCache(folder / "reasoning" / "cold-start-evolve.jsonl").written()
        assert shown == [(texts[s.content_hash].text or "").strip() for s in evolve]
    assert len(set(seen)) == 8


@pytest.mark.slow
def test_a_second_call_computes_nothing_and_writes_the_same(
    finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(finished.out)
    trained = ("phases.train_on_rows", "phases.train_on_rollouts")
    loaded = ("ablation_variants.load_causal_lm", "estimator_loop.load_causal_lm")
    for name in (*trained, *loaded):
        monkeypatch.setattr(f"corl.{name}", must_not_run)
    told = ablate(prepare_ablation(str(finished.recipe), [], ()), finished.out)
    assert [line.split()[0] for line in told] == ["reused", "reused"]
    assert contents(finished.out) == before


MODELS = {
    "full": ("iteration-01/1-generator-rl", "iteration-01/3-policy-rl"),
    "without_corl": ("cold-start/1-generator-sft", "cold-start/2-policy-sft"),
    "without_rl": ("cold-start/1-generator-sft", "without_rl/1-sft"),
    "without_reasoning": (None, "without_reasoning/1-sft"),
    "without_reasoning_same_data": (None, "without_reasoning_same_data/1-sft"),
    "untrained": (None, None),
}
"""Folders of generator and policy model, in the fold's training or in that of the ablation."""


@pytest.mark.slow
@pytest.mark.parametrize("variant", MODELS)
def test_each_variant_is_scored_by_the_adapters_on_the_disk(
    finished: Finished, tiny_model: Path, renderer: PromptRenderer, tmp_path: Path, variant: str
) -> None:
    prepared = prepare_ablation(str(finished.recipe), [], ()).estimator
    known = {s.sample_id: s for samples in prepared.data.subsets.values() for s in samples}
    (training,) = finished.out.glob("stages/estimator-*/training/fold-1")
    (folder,) = finished.out.glob("stages/ablation-fold-1-*")
    generator, policy = MODELS[variant]
    location = locate_model(str(tiny_model))
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    if policy is not None:
        (place,) = [path for path in (training / policy, folder / policy) if path.exists()]
        model = PeftModel.from_pretrained(model, place / "adapter")
    model.eval()
    chat = load_chat(location)
    for row in read_jsonl(folder / "likelihoods" / f"{variant}.jsonl")[:2]:
        sample = known[row["sample_id"]]
        prompt = renderer.render("policy_without_reasoning", sample)
        if generator is not None:
            lm = load_causal_lm(location, dtype="float32", device="cpu", adapters=[training / generator / "adapter"])
            cache = ReasoningCache(tmp_path / f"{sample.sample_id}.jsonl")
            settings = reasoning_settings(prepared.recipe.config)
            (one,) = write_reasonings(lm, [sample], renderer, settings, cache, lambda units=1: None)
            prompt = renderer.render("policy_with_reasoning", sample, reasoning=one.shown)
        before, answer = chat.encode_prompt(prompt), chat.encode_answer(sample.golden_response, ended=True)
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([before + answer])).logits[0, len(before) - 1 : -1]
        each = logits.double().log_softmax(-1)[torch.arange(len(answer)), torch.tensor(answer)]
        assert row["golden"] == {"sum_log_prob": pytest.approx(float(each.sum()), rel=1e-4), "tokens": len(answer)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "start"),
    [
        ("without_rl/1-sft", ["2-policy-sft/adapter"]),
        ("without_reasoning/1-sft", []),
        ("without_reasoning_same_data/1-sft", ["1-sft/adapter"]),
    ],
)
def test_trainings_start_from_the_variant_before(finished: Finished, place: str, start: list[str]) -> None:
    for number in (0, 1):
        (folder,) = finished.out.glob(f"stages/ablation-fold-{number}-*")
        assert read_json(folder / place / "preflight.json")["start_adapters"] == start


@pytest.mark.slow
def test_the_estimator_trained_in_the_same_directory_takes_the_folds_over(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Path(shutil.copytree(finished.out, tmp_path / "out"))
    for name in ("train_on_rows", "train_on_rollouts"):
        monkeypatch.setattr(f"corl.phases.{name}", None)
    prepared = prepare_ablation(str(finished.recipe), [], ()).estimator
    store, compute = RunStore(out), settle_compute(prepared.recipe.compute)
    stage = training_stage(prepared, compute, store, SilentProgress())
    _, (record,) = run_stages([stage], store, StageLines(lambda text: None))
    assert record.counts["folds"] == 2
    assert len(record.parts) == 2 * 5, "the ablation's own trainings are not among them"


@pytest.mark.slow
def test_the_command_prints_the_page(finished: Finished) -> None:
    app = typer.Typer()
    app.command()(ablation)
    found = CliRunner().invoke(app, [str(finished.recipe), "--out", str(finished.out), "--fold", "0", "--fold", "1"])
    assert found.exit_code == 0, found.output
    assert (finished.out / "ablation.md").read_text() in found.output
    for number in (0, 1):
        assert str(finished.out / CURVES.format(number)) in found.output
        assert f"({CURVES.format(number)})" in found.output, "the page shows it"


@pytest.mark.slow
def test_a_run_on_one_fold_goes_on_after_an_interruption_and_says_which_fold_it_used(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = prepare_ablation(str(finished.recipe), [], (1,))
    straight, broken = (Path(shutil.copytree(finished.out, tmp_path / name)) for name in ("straight", "broken"))
    ablate(prepared, straight)
    assert read_json(straight / "ablation.json")["folds_used"] == [1]
    page = (straight / "ablation.md").read_text()
    assert "Folds used: 1 of 2." in page
    assert CURVES.format(1) in page
    assert CURVES.format(0) not in page
    (lost,) = broken.glob("stages/ablation-fold-1-*")
    shutil.rmtree(lost)
    left = [5]  # the first variant has four lines, all of its own file

    def interrupting(path: Path, row: object) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        append_jsonl(path, row)

    with monkeypatch.context() as patch:
        patch.setattr("corl.ablation_variants.append_jsonl", interrupting)
        with pytest.raises(KeyboardInterrupt):
            ablate(prepared, broken)
    kept = (lost / "likelihoods" / "full.jsonl").stat().st_mtime_ns
    assert len(read_jsonl(lost / "likelihoods" / "without_corl.jsonl")) == 1
    assert ablate(prepared, broken)[0].startswith("resumed")
    assert (lost / "likelihoods" / "full.jsonl").stat().st_mtime_ns == kept
    assert contents(broken) == contents(straight)


@pytest.mark.parametrize(
    ("overrides", "folds", "expected"),
    [
        (["folds=null"], (), "folds: is null, so that every response is trained on"),
        (["config.iterations=0"], (), "config.iterations: is 0"),
        ([], (0, 2, -1), r"(?s)--fold: there is no fold 2; the recipe has folds 0 to 1.*no fold -1"),
        (["folds=null", "benchmark.source=nowhere"], (), r"(?s)folds: is null.*nowhere"),
    ],
)
def test_what_cannot_be_compared_is_the_users_mistake(
    recipe: Path, overrides: list[str], folds: tuple[int, ...], expected: str
) -> None:
    recipe.write_text(recipe.read_text().replace("held_out:", "# held_out:"))  # which asks for folds by itself
    with pytest.raises(UserMistakes, match=expected):
        prepare_ablation(str(recipe), overrides, folds)


def test_folds_are_taken_once_and_in_order(recipe: Path) -> None:
    assert prepare_ablation(str(recipe), [], (1, 0, 1)).folds == (0, 1)
    assert prepare_ablation(str(recipe), [], ()).folds == (0, 1)
