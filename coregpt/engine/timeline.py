"""How a token budget becomes steps, batches and rows; a function of the config and the size stages alone."""

from dataclasses import dataclass

from coregpt.contract.config import RunConfig
from coregpt.contract.errors import PluginError
from coregpt.contract.rules import Clock, Schedule, Stages


@dataclass(frozen=True)
class Timeline:
    """Sizes of every step. Rows are counted in units of `context`, whatever the sequence length."""

    context: int
    batches: tuple[int, ...]
    """Tokens of each step."""
    lengths: tuple[int, ...]
    """Sequence length of each step."""
    first_rows: tuple[int, ...]
    """Training rows consumed before each step; one more entry for the end."""

    @property
    def steps(self) -> int:
        return len(self.batches)

    @property
    def tokens(self) -> int:
        """Tokens actually trained on (the budget, rounded down to whole steps)."""
        return self.first_rows[-1] * self.context

    def clock(self, step: int) -> Clock:
        return Clock(step, self.steps)


def plan_steps(config: RunConfig, schedules: dict[str, Schedule]) -> Timeline:
    """The longest timeline within `config.tokens`; every size must be whole rows or divide a row."""
    context = config.model.context
    batch = _stages(schedules, "batch_tokens", config.batch_tokens)
    length = _stages(schedules, "seq_len", context)
    for value in batch.values:
        if value % context:
            raise PluginError(f"batch_tokens stage {value} is not a multiple of model.context ({context})")
    for value in length.values:
        if context % value:
            raise PluginError(f"seq_len stage {value} does not divide model.context ({context})")
    # The mean batch depends on where stages end after rounding to steps, so search down from the bound.
    steps = config.tokens // min(batch.values)
    while steps > 1 and sum(_values(batch, steps)) > config.tokens:
        excess = sum(_values(batch, steps)) - config.tokens
        steps -= max(1, min(steps - 1, excess // (2 * max(batch.values))))
    batches = _values(batch, max(steps, 1))
    rows = [0]
    for tokens in batches:
        rows.append(rows[-1] + tokens // context)
    return Timeline(context, tuple(batches), tuple(_values(length, len(batches))), tuple(rows))


def _stages(schedules: dict[str, Schedule], name: str, default: int) -> Stages:
    found = schedules.get(name)
    return found if isinstance(found, Stages) else Stages((1, default))


def _values(stages: Stages, steps: int) -> list[int]:
    return [int(stages(Clock(step, steps))) for step in range(steps)]
