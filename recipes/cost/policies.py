"""What it costs to make a policy, by what its method's settings are: which trainer, which rewards, which rows.

Methods are told apart by their settings and not by name, so those of other packages are estimated too where they train
as one of these does; a method of another kind has no estimate.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recipes.cost.coevolution import FULL_MARKS, Texts, iteration
from recipes.cost.lengths import Around
from recipes.cost.population import Population
from recipes.cost.rollouts import Asked, Reward, answers, reinforcement, rewards
from recipes.cost.setting import Setting
from recipes.cost.teacher import dialogue_count
from recipes.cost.traces import THINKING
from recipes.cost.trainer import Trainer, read_trainer
from recipes.cost.training import Rows, imitation, preference
from recipes.cost.work import Work, begun, repeated

if TYPE_CHECKING:
    from recipes.schema import MethodRecipe
    from rpm_methods.method import MethodConfig, MethodSpec

RESPONSE, BLANKED, REWARD = "response", "response_blanked", "reward_response"


@dataclass(frozen=True)
class Policy:
    """What is known of a policy before it is made."""

    recipe: "MethodRecipe"
    spec: "MethodSpec"
    config: "MethodConfig"
    train: Population

    @property
    def template(self) -> str:
        """The template that it answers under."""
        return THINKING if self.spec.produces_reasoning else RESPONSE

    @property
    def embedding_model(self) -> str | None:
        """The model that finds its examples; None where there are none."""
        return getattr(self.config, "embedding_model", None)

    def answer(self, setting: Setting, samples: Population) -> float:
        """Return the mean tokens of an answer: as long as the golden response, behind thinking where it thinks."""
        lengths = setting.lengths
        thinking = lengths.traces.features + lengths.traces.tags if self.spec.produces_reasoning else 0.0
        return thinking + lengths.response(self.template, samples)

    def prompts(self, setting: Setting, samples: Population) -> list[float]:
        """Return the tokens of the prompts of a population's shown samples, solved examples included."""
        examples = int(getattr(self.config, "examples", 0))
        more = examples * setting.lengths.example(self.template, self.train) if examples else 0.0
        return [prompt + more for prompt in setting.lengths.prompts(self.template, samples)]


def make_policy(policy: Policy, setting: Setting) -> list[Work] | None:
    """Return the work of making a policy; None where its settings are of no kind that is known."""
    config: Any = policy.config
    if not policy.spec.trains:
        return []
    if hasattr(config, "iterations"):
        return _co_evolution(policy, setting)
    known = {"SFTConfig": _sft, "DPOConfig": _dpo, "GRPOConfig": _grpo}
    make = known.get(getattr(config, "trl_config", ""))
    if make is None:
        return None
    return make(policy, setting, read_trainer(config, device=setting.hardware.device, devices=setting.hardware.devices))


def _sft(policy: Policy, setting: Setting, trainer: Trainer) -> list[Work]:
    """Return SFT, behind sampling and choosing candidates or asking a teacher where the method does."""
    config: Any = policy.config
    prompts = setting.lengths.prompts(policy.template, policy.train)
    count = policy.train.size + dialogue_count(config, policy.train)
    learned = imitation("training", setting, trainer, Rows(count, prompts, policy.answer(setting, policy.train)))
    if not hasattr(config, "candidates"):
        return [learned]
    asked = _asked(policy, setting, policy.template)
    drawn = answers("candidates", setting, [asked], policy.recipe.generation.batch_tokens, each=config.candidates)
    scored = rewards("rewards", setting, _full_marks(policy, setting), asked.count, config.candidates, asked.written)
    return [*drawn, *begun([scored], setting.shape), learned]


def _dpo(policy: Policy, setting: Setting, trainer: Trainer) -> list[Work]:
    """Return sampling the rejected answers, and training on pairs."""
    asked = _asked(policy, setting, BLANKED)
    drawn = answers("rejected answers", setting, [asked], policy.recipe.generation.batch_tokens)
    prompts = setting.lengths.prompts(policy.template, policy.train)
    rows = Rows(policy.train.size, prompts, policy.answer(setting, policy.train))
    return [*drawn, *preference("training", setting, trainer, rows, asked.written)]


def _grpo(policy: Policy, setting: Setting, trainer: Trainer) -> list[Work]:
    """Return GRPO whose reward is the probability of "100%" under the base model."""
    config: Any = policy.config
    limit = config.training.get("max_completion_length", policy.recipe.generation.max_new_tokens)
    prompts = setting.lengths.prompts(policy.template, policy.train)
    asked = Asked(policy.train.size, prompts, policy.answer(setting, policy.train), limit)
    reward = _full_marks(policy, setting)
    return reinforcement("training", setting, trainer, asked, reward, config.rollout_batch_tokens)


def _co_evolution(policy: Policy, setting: Setting) -> list[Work]:
    """Return all iterations of one model that thinks and answers (appendix E.2)."""
    config: Any = policy.config
    traces = setting.lengths.traces
    thinking = min(traces.features, config.max_reasoning_tokens)
    texts = Texts(policy.train, policy.train.size, THINKING, thinking, thinking, THINKING, traces.tags, True)
    return repeated(iteration(config, setting, texts), config.iterations)


def _asked(policy: Policy, setting: Setting, template: str) -> Asked:
    prompts = setting.lengths.prompts(template, policy.train)
    limit = policy.recipe.generation.max_new_tokens
    return Asked(policy.train.size, prompts, policy.answer(setting, policy.train), limit)


def _full_marks(policy: Policy, setting: Setting) -> Reward:
    """Return the reward of Table 24, by a base model of its own in float32."""
    around = setting.lengths.around(REWARD, "candidate_response", policy.train)
    batch: Any = policy.config
    prompt = Around(around.before, around.behind + FULL_MARKS)
    return Reward(prompt, FULL_MARKS, batch.reward_batch_tokens, "float32", beside=True, own=True)
