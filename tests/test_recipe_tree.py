"""Every recipe in the tree: valid, planned in order, and those of the paper's scale run for two steps in miniature.

The paper's recipes name models and a benchmark on the hub. A folder of that name in the working directory goes before
the hub, so the tests put tiny ones there and run the recipes as they are written.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from architectures import save_tiny_llama3, save_tiny_qwen3
from rich.console import Console
from safetensors.torch import load_file

from benchmark import Benchmark, PromptRenderer, Sample, UserMistakes
from benchmark.loading import BUNDLED
from benchmark.progress import SilentProgress
from benchmark.run_store import RunStore
from recipes.comparison import prepare_comparison
from recipes.display import LineView
from recipes.environment import Compute
from recipes.estimator_run import prepare_training, run_training
from recipes.finding import BUNDLED_FOLDER, LAUNCH_FOLDER, bundled_recipes
from recipes.plan import Planner
from recipes.reading import method_config, read_recipes
from recipes.schema import MethodRecipe
from rpm_methods.artifact import PolicyArtifact, read_artifact
from rpm_methods.method import TrainContext
from rpm_methods.policy import load_policy
from rpm_methods.registry import get_method, methods
from rpm_methods.rollout_source import RewardPart
from rpm_methods.training_rows import training_rows
from scoring.estimator import read_estimator
from scoring.models.causal_lm import load_chat
from scoring.models.generation import Sampling
from scoring.models.resolver import ModelLocation, locate_model
from scoring.sampling import Rollout

TREE = bundled_recipes()
OWN_SIZES = ("demo", "small")
END_OF_TURN = {"paper/qwen3-4b": "<|im_end|>", "paper/llama3-8b": "<|end_of_text|>"}
"""Folder of the paper's recipes -> the token that ends a turn of its base model."""
FOLDERS = (*OWN_SIZES, *END_OF_TURN)
PAPER = [name for name in TREE if name.startswith("paper/") and name.count("/") == 2]
HUB_MODELS = {"Qwen/Qwen3-4B-Base": "qwen3", "meta-llama/Meta-Llama-3-8B": "llama3", "Qwen/Qwen3-8B": "qwen3"}
EMBEDDING, BENCHMARK = "Qwen/Qwen3-Embedding-0.6B", "YongqiLi/RPGBench"
SCORING = ("likelihoods", "scores", "embeddings/samples", "divergences", "bounds", "convergence", "baseline")
BEHIND_POLICIES = ("estimator", "reasoning", *SCORING)
IN_PHASES = ("reasoning_rl", "imitation", "response_rl")
"""What co-evolution consists of, as recipes name it."""


def read_method(name: str, *overrides: str) -> MethodRecipe:
    ((_, recipe),) = read_recipes([name], list(overrides))
    assert isinstance(recipe, MethodRecipe)
    return recipe


def stage_keys(recipe: str, folder: Path, *overrides: str) -> dict[str, str]:
    """Plan a recipe and return its stages' names in order, each with the hash of what it depends on."""
    comparison = prepare_comparison([recipe], list(overrides))
    store = RunStore(folder / "out")
    stages = Planner(comparison, Compute("cpu", "float32", 1), store, SilentProgress()).stages()
    assert len({stage.name for stage in stages}) == len(stages)
    return {stage.name: stage.key for stage in stages}


def stage_names(recipe: str, folder: Path) -> list[str]:
    """Plan a recipe as it is written and return the names of its stages in order."""
    return list(stage_keys(recipe, folder))


def expected_stages(prefixes: tuple[str, ...]) -> set[str]:
    """Return what the plan of all methods, below each prefix, must hold."""
    columns = [f"{prefix}{name}" for prefix in prefixes for name in methods()]
    kinds = ("policy", "responses", "embeddings")
    return {*BEHIND_POLICIES, *(f"{kind}/{column}" for kind in kinds for column in columns)}


def parents_come_first(names: list[str], prefix: str) -> bool:
    pairs = [(method.spec.starts_from, name) for name, method in methods().items() if method.spec.starts_from != "base"]
    assert len(pairs) >= 4
    return all(names.index(f"policy/{prefix}{a}") < names.index(f"policy/{prefix}{b}") for a, b in pairs)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, mini: Benchmark, tiny_embedding: Path) -> Path:
    """Return a folder in which the names that the paper's recipes take from the hub are folders of tiny things."""
    folder = tmp_path_factory.mktemp("hub")
    for name, family in HUB_MODELS.items():
        (save_tiny_qwen3 if family == "qwen3" else save_tiny_llama3)(folder / name, mini)
    shutil.copytree(tiny_embedding, folder / EMBEDDING)
    shutil.copytree(BUNDLED["mini"], folder / BENCHMARK, ignore=shutil.ignore_patterns("*.jsonl", "*.py"))
    return folder


def test_the_tree_holds_recipes_of_every_size_and_each_is_valid() -> None:
    assert len(TREE) >= 36
    files = [path for path in BUNDLED_FOLDER.rglob("*.yaml") if path.parent != LAUNCH_FOLDER]
    assert len(TREE) == len([path for path in files if not path.name.startswith("_")])
    for name in TREE:
        assert read_recipes([name], [])


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("method", sorted(methods()))
def test_every_method_has_its_recipe_in_every_folder(folder: str, method: str) -> None:
    recipe = read_method(f"{folder}/{method}")
    assert recipe.method == method
    assert recipe.description
    assert recipe.base_model == read_method(f"{folder}/sft").base_model
    assert recipe.start == (
        None if methods()[method].spec.starts_from == "base" else methods()[method].spec.starts_from
    )


@pytest.fixture
def unread_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take models for found that are neither converted nor read."""
    for module in ("recipes.plan", "recipes.scoring_plan", "scoring.embeddings"):
        monkeypatch.setattr(f"{module}.locate_model", lambda name: ModelLocation(name, Path(name), name))


@pytest.mark.usefixtures("unread_models")
@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("generation.temperature=0.7", {"dpo", "rft", "grpo", "thinking_rl", "corl"}),
        ("config.training.report_to=[tensorboard]", set()),
        ("config.training.weight_decay=0.1", set(methods()) - {"icl", "corl"}),
    ],
)
@pytest.mark.slow
def test_a_policy_is_trained_anew_exactly_where_a_setting_reaches_it(
    override: str, changed: set[str], tmp_path: Path
) -> None:
    without = ("icl", "corl") if override.startswith("config.training") else ()
    recipes = [f"demo/{name}" for name in methods() if name not in without]
    before: dict[str, str] = {}
    after: dict[str, str] = {}
    for recipe in recipes:
        before |= policies(stage_keys(recipe, tmp_path))
        after |= policies(stage_keys(recipe, tmp_path, override))
    assert {name for name in before if before[name] != after[name]} == changed


def policies(keys: dict[str, str]) -> dict[str, str]:
    own = {name.removeprefix("policy/"): key for name, key in keys.items() if name.startswith("policy/")}
    last = list(own)[-1]
    return {last: own[last]}


@pytest.mark.usefixtures("unread_models")
@pytest.mark.parametrize("folder", OWN_SIZES)
def test_the_demo_and_the_small_size_are_planned_whole_with_parents_first(folder: str, tmp_path: Path) -> None:
    names = stage_names(folder, tmp_path)
    assert len(names) == len(set(names))
    assert set(names) == expected_stages(("",))
    assert parents_come_first(names, "")
    assert names.index("likelihoods") > max(names.index(f"responses/{name}") for name in methods())


def test_the_papers_table_is_planned_over_both_bases_with_sft_once_a_base(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(hub)
    prefixes = ("Qwen_Qwen3-4B-Base/", "meta-llama_Meta-Llama-3-8B/")
    names = stage_names("paper/table20", tmp_path)
    assert len(names) == len(set(names))
    assert set(names) == expected_stages(prefixes)
    assert all(parents_come_first(names, prefix) for prefix in prefixes)


@pytest.mark.parametrize("folder", END_OF_TURN)
def test_one_recipe_of_the_paper_plans_its_parent_from_the_recipe_beside_it(
    folder: str, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(hub)
    for name, start in (("thinking_rl", "thinking_sft"), ("grpo", "sft")):
        (parent,) = prepare_comparison([f"{folder}/{name}"], []).parents.values()
        assert parent.config == read_method(f"{folder}/{start}").config


def test_away_from_the_hub_the_papers_recipes_lack_only_what_is_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserMistakes) as caught:
        prepare_comparison(["paper/table20"], [])
    unknown = [
        mistake
        for mistake in caught.value.mistakes
        if "the hub is out of reach and the model is not in its local cache" not in mistake.problem
        and "cannot be had from the hub" not in mistake.problem
    ]
    assert unknown == []
    assert all("check the" in mistake.remedy for mistake in caught.value.mistakes)
    assert all(any(name in str(m) for m in caught.value.mistakes) for name in (*HUB_MODELS, EMBEDDING, BENCHMARK))


@dataclass
class Miniature:
    """Trains the paper's recipes for two steps on tiny models; a parent is trained once."""

    folder: Path
    samples: tuple[Sample, ...]
    renderer: PromptRenderer
    made: dict[str, PolicyArtifact] = field(default_factory=dict)

    def train(self, name: str) -> PolicyArtifact:
        """Train a recipe behind what it starts from."""
        if name not in self.made:
            method = get_method(read_method(name).method)
            recipe = read_method(name, *_shortened(method.spec.name, trains=method.spec.trains))
            above = method.spec.starts_from
            folder = self.folder / name
            folder.mkdir(parents=True)
            context = TrainContext(
                base=locate_model(recipe.base_model),
                dtype="float32",
                device="cpu",
                samples=self.samples,
                renderer=self.renderer,
                sampling=Sampling(6, recipe.generation.repetition_penalty),
                seed=recipe.seed,
                folder=folder,
                parent=None if above == "base" else self.train(f"{name.rpartition('/')[0]}/{above}"),
            )
            self.made[name] = method.train(method_config(recipe), context)
        return self.made[name]


def _shortened(method: str, *, trains: bool) -> list[str]:
    """Return what replaces the length of training and the teacher at an endpoint."""
    recorded = {"da": "config.dialogues=mini", "thinking_sft": "config.reasoning=mini"}
    teacher = [recorded[method], "config.teacher=null"] if method in recorded else []
    if method == "corl":
        return _short_phases(IN_PHASES)
    return [*teacher, *(["config.training.max_steps=2"] if trains else [])]


def _short_phases(phases: tuple[str, ...]) -> list[str]:
    """Return what makes co-evolution one iteration of two steps a phase with few tokens."""
    limits = ["config.iterations=1", "config.max_reasoning_tokens=8", "config.max_response_tokens=6"]
    return [*limits, *(f"config.{phase}.training.max_steps=2" for phase in phases)]


@pytest.fixture(scope="module")
def miniature(tmp_path_factory: pytest.TempPathFactory, mini: Benchmark, renderer: PromptRenderer) -> Miniature:
    return Miniature(tmp_path_factory.mktemp("miniature"), mini.train[:6], renderer)


def _uneven_reward(*_: object) -> RewardPart:
    """Return a reward that differs within each group, as those of a random model's malformed thinking do not."""

    def score(sample: Sample, rollouts: list[Rollout]) -> list[float | None]:
        return [place / len(rollouts) for place in range(len(rollouts))]

    return RewardPart("full_marks", score)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("name", PAPER)
def test_a_recipe_of_the_paper_trains_two_steps_on_its_architecture_and_answers(
    name: str, hub: Path, miniature: Miniature, mini: Benchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(hub)
    monkeypatch.setattr("rpm_methods.thinking_rl.full_marks_reward", _uneven_reward)
    monkeypatch.setattr("corl.thinking_loop.thinking_reward", _uneven_reward)
    written = miniature.train(name)
    assert read_artifact(written.folder) == written
    if get_method(written.method).spec.trains:
        assert moved(written.folder / "adapter")
        preflights = [json.loads(path.read_text()) for path in written.folder.rglob("preflight.json")]
        assert {found["end_token"] for found in preflights} == {END_OF_TURN[name.rpartition("/")[0]]}
        logs = [json.loads(path.read_text()) for path in written.folder.rglob("training_log.json")]
        assert len(logs) == (len(IN_PHASES) if written.method == "corl" else 1)
        assert all(len([row for row in log if "loss" in row]) == 2 for log in logs)
    policy = load_policy(written, renderer=miniature.renderer, dtype="float32", device="cpu")
    (batch,) = policy.generate(policy.prompts([mini.test[key][0] for key in ("id", "korean")]))
    assert all(answer.text is not None for _, answer in batch)


@pytest.mark.slow
def test_the_estimator_of_the_paper_trains_two_steps_a_phase_on_its_architecture(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(hub)
    phases = ("cold_start", *IN_PHASES)
    small = ["folds=null", "fit_on=[german]", "config.samples=4", "config.cold_start_samples=4"]
    recorded = ["config.reasoning=mini", "config.teacher=null"]
    cpu = ["compute.device=cpu", "compute.dtype=float32"]
    prepared = prepare_training("paper/estimator", [*small, *recorded, *cpu, *_short_phases(phases)])
    finished = run_training(prepared, tmp_path / "out", progress=SilentProgress(), observer=LineView(Console()))
    estimator = read_estimator(tmp_path / "out" / "estimator")
    assert estimator.description.label == "corl Qwen/Qwen3-8B"
    assert all(moved(path) for role in ("generator", "policy") for path in estimator.adapters(0, role))
    assert [part["place"].split("/")[-1] for part in finished.record.parts] == [
        "1-generator-sft",
        "2-policy-sft",
        "1-generator-rl",
        "2-policy-sft",
        "3-policy-rl",
    ]
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["stages"][0]["parts"] == finished.record.parts
    assert (tmp_path / "out" / "training" / "estimator" / "fold-0" / "cold-start" / "1-generator-sft").is_dir()


def moved(adapter: Path) -> bool:
    """Tell whether an adapter does anything: before the first step all its B matrices are zero."""
    weights = load_file(adapter / "adapter_model.safetensors")
    changed = [bool(weight.any()) for name, weight in weights.items() if "lora_B" in name]
    assert len(changed) == 2 * 7  # all linear layers of two layers
    return any(changed)


@pytest.mark.parametrize("folder", END_OF_TURN)
def test_the_end_that_is_supervised_is_the_one_that_ends_generation(
    folder: str, hub: Path, miniature: Miniature, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scoring.models.causal_lm import load_causal_lm
    from scoring.models.generation import generate_batches

    monkeypatch.chdir(hub)
    base = locate_model(read_method(f"{folder}/sft").base_model)
    chat = load_chat(base)
    rows = training_rows(miniature.samples, miniature.renderer, "response", chat)
    ends = {row.labels[-1] for row in rows}
    assert chat.spelled(list(ends)) == [END_OF_TURN[folder]]
    lm = load_causal_lm(base, dtype="float32", device="cpu")
    prompt = miniature.renderer.render("response", miniature.samples[0])
    reasons = []
    for forced in (*ends, chat.encode_text("a")[0]):
        handle = lm.model.register_forward_hook(_forcing(forced))
        ((_, answer),) = next(iter(generate_batches(lm, [prompt], Sampling(3))))
        handle.remove()
        reasons.append(answer.finish_reason)
    assert reasons == ["stop", "length"]


def _forcing(token: int) -> Callable[[object, object, object], None]:
    def hook(module: object, inputs: object, outputs: object) -> None:
        logits: torch.Tensor = outputs.logits  # type: ignore[attr-defined]
        logits[..., token] += 1e4

    return hook
