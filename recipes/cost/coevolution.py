"""Co-evolution of reasoning and response (paper, section 3.3 and appendix E.2): the work of one iteration.

The estimator's two models and the one of the reasoning role-playing model go through the same four phases.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.cost.lengths import Around
from recipes.cost.population import Population
from recipes.cost.rollouts import Asked, Reward, answers, reinforcement
from recipes.cost.setting import Setting
from recipes.cost.trainer import Trainer, read_trainer
from recipes.cost.training import Rows, imitation
from recipes.cost.work import Precision, Work

if TYPE_CHECKING:
    from corl.settings import CoEvolutionSettings
    from rpm_methods.arguments import AdapterSettings

FULL_MARKS = 4
"""Tokens of "100%"."""


@dataclass(frozen=True)
class Texts:
    """The texts that co-evolution works on."""

    samples: Population
    count: int
    """Samples that are learned from."""
    asking: str
    """Template whose answer is the reasoning."""
    reasoning: float
    """Mean tokens of a reasoning, the limit observed."""
    shown: float
    """Mean tokens of the part that responses are written behind."""
    answering: str
    """Template under which the response is written behind what is shown."""
    tags: float
    """Tokens between what is shown and the response."""
    imitates_reasoning: bool
    """Whether imitation learns the reasoning too, as a model that writes both does."""


def co_evolution_trainer(settings: "CoEvolutionSettings", phase: "AdapterSettings", setting: Setting) -> Trainer:
    """Return a phase's trainer, whose adapter is that of the whole."""
    hardware = setting.hardware
    return read_trainer(phase, device=hardware.device, devices=hardware.devices, lora=settings.lora)


def iteration(settings: "CoEvolutionSettings", setting: Setting, texts: Texts) -> list[Work]:
    """Return the work of one iteration."""
    return [
        *_reasoning_rl(settings, setting, texts),
        *written("reasoning of all samples", settings, setting, texts),
        _imitation(settings, setting, texts),
        *_response_rl(settings, setting, texts),
    ]


def written(name: str, settings: "CoEvolutionSettings", setting: Setting, texts: Texts) -> list[Work]:
    """Return the writing of one reasoning for each of the texts' samples."""
    limit = settings.max_reasoning_tokens
    asked = Asked(texts.count, _asking(setting, texts), texts.reasoning, limit)
    return answers(name, setting, [asked], settings.reasoning_batch_tokens)


def _reasoning_rl(settings: "CoEvolutionSettings", setting: Setting, texts: Texts) -> list[Work]:
    """Return GRPO on the reasoning: its reward is the golden response's likelihood behind what it shows."""
    lengths, phase = setting.lengths, settings.reasoning_rl
    golden = lengths.golden(texts.samples) + 1
    around = lengths.around(texts.answering, "reasoning", texts.samples)
    behind = around.behind if not texts.imitates_reasoning else 0.0
    before = around.before if not texts.imitates_reasoning else lengths.prompt(texts.answering, texts.samples)
    reward = Reward(
        prompt=Around(before, behind + texts.tags + golden),
        scored=golden,
        batch_tokens=phase.reward_batch_tokens,
        precision=_precision(settings, setting),
        beside=_precision(settings, setting) != setting.precision,
    )
    asked = Asked(texts.count, _asking(setting, texts), texts.reasoning, settings.max_reasoning_tokens)
    trainer = co_evolution_trainer(settings, phase, setting)
    return reinforcement("reasoning by RL", setting, trainer, asked, reward, phase.rollout_batch_tokens)


def _imitation(settings: "CoEvolutionSettings", setting: Setting, texts: Texts) -> Work:
    """Return SFT on the golden responses behind the model's own reasoning."""
    response = setting.lengths.response(texts.answering, texts.samples)
    inside = texts.shown + texts.tags
    prompts = setting.lengths.prompts(texts.answering, texts.samples)
    if texts.imitates_reasoning:
        rows = Rows(texts.count, prompts, inside + response)
    else:
        rows = Rows(texts.count, [prompt + inside for prompt in prompts], response)
    trainer = co_evolution_trainer(settings, settings.imitation, setting)
    return imitation("responses by SFT", setting, trainer, rows)


def _response_rl(settings: "CoEvolutionSettings", setting: Setting, texts: Texts) -> list[Work]:
    """Return GRPO on the response: its reward is how far a reference finds the features in it (Table 19)."""
    lengths, phase = setting.lengths, settings.response_rl
    around = lengths.around("reward_features", "candidate_response", texts.samples)
    reward = Reward(
        prompt=Around(around.before + texts.shown, around.behind + FULL_MARKS),
        scored=FULL_MARKS,
        batch_tokens=phase.reward_batch_tokens,
        precision=_precision(settings, setting),
        beside=_precision(settings, setting) != setting.precision,
        others=1,
    )
    prompts = [prompt + texts.shown + texts.tags for prompt in lengths.prompts(texts.answering, texts.samples)]
    answer = lengths.response(texts.answering, texts.samples)
    asked = Asked(texts.count, prompts, answer, settings.max_response_tokens)
    trainer = co_evolution_trainer(settings, phase, setting)
    return reinforcement("responses by RL", setting, trainer, asked, reward, phase.rollout_batch_tokens)


def _asking(setting: Setting, texts: Texts) -> list[int]:
    return setting.lengths.prompts(texts.asking, texts.samples)


def _precision(settings: "CoEvolutionSettings", setting: Setting) -> Precision:
    """Return the number format of the rewards; where it is not that of the run, the model is copied into it."""
    return "float32" if settings.reward_precision == "float32" else setting.precision
