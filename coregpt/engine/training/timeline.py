"""How a token budget becomes steps, batches and rows; a function of the config and the size stages alone."""

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from torch import Tensor

from coregpt.contract.config import RunConfig
from coregpt.contract.errors import PluginError
from coregpt.contract.rules import Clock, Schedule, Stages


@dataclass(frozen=True)
class Timeline:
    """Sizes of every step. Rows are counted in units of `context`, whatever the sequence length.

    A row gives floor(context / length) sequences from its start; the rest of it is not trained on in that step.
    """

    context: int
    batches: tuple[int, ...]
    """Tokens trained on in each step."""
    lengths: tuple[int, ...]
    """Sequence length of each step."""
    first_rows: tuple[int, ...]
    """Training rows consumed before each step; one more entry for the end."""

    @property
    def steps(self) -> int:
        return len(self.batches)

    @cached_property
    def first_tokens(self) -> tuple[int, ...]:
        """Tokens trained on before each step; one more entry for the end."""
        return tuple(accumulate(self.batches, initial=0))

    @property
    def tokens(self) -> int:
        """Tokens actually trained on (the budget, rounded down to whole steps)."""
        return self.first_tokens[-1]

    def rows(self, step: int) -> int:
        """Rows of `context` tokens that a step consumes."""
        return self.first_rows[step + 1] - self.first_rows[step]

    def sequences(self, step: int) -> int:
        """How many sequences each of these rows gives."""
        return self.context // self.lengths[step]

    def clock(self, step: int) -> Clock:
        return Clock(step, self.steps)


def cut(rows: Tensor, length: int) -> Tensor:
    """Rows (n, context) as sequences (n x floor(context / length), length), each row's from its start, in order."""
    sequences = rows.shape[1] // length
    return rows[:, : sequences * length].reshape(-1, length)


def plan_steps(config: RunConfig, schedules: dict[str, Schedule]) -> Timeline:
    """The longest timeline that trains on `config.tokens` at most; batches are whole rows.

    Raises PluginError for a batch that is not, and for a sequence longer than a row.
    """
    context = config.model.context
    batch = _stages(schedules, "batch_tokens", config.batch_tokens)
    length = _stages(schedules, "seq_len", context)
    for value in batch.values:
        if value % context:
            raise PluginError(f"batch_tokens stage {value} is not a multiple of model.context ({context})")
    for value in length.values:
        if not 1 <= value <= context:
            raise PluginError(f"seq_len stage {value} is not a length from 1 to model.context ({context})")
        if value != context and config.data.rows == "documents":
            raise PluginError(f"seq_len stage {value} would cut rows of documents (data.rows) inside of documents")

    def trained(steps: int) -> list[int]:
        sizes = zip(_values(batch, steps), _values(length, steps), strict=True)
        return [tokens - tokens // context * (context % each) for tokens, each in sizes]

    # The mean batch depends on where stages end after rounding to steps, so search down from the bound.
    smallest = min(batch.values) // context * min(context - context % value for value in length.values)
    steps = config.tokens // smallest
    while steps > 1 and sum(trained(steps)) > config.tokens:
        excess = sum(trained(steps)) - config.tokens
        steps -= max(1, min(steps - 1, excess // (2 * max(batch.values))))
    steps = max(steps, 1)
    rows = accumulate((tokens // context for tokens in _values(batch, steps)), initial=0)
    return Timeline(context, tuple(trained(steps)), tuple(_values(length, steps)), tuple(rows))


def _stages(schedules: dict[str, Schedule], name: str, default: int) -> Stages:
    found = schedules.get(name)
    return found if isinstance(found, Stages) else Stages((1, default))


def _values(stages: Stages, steps: int) -> list[int]:
    if len(stages.values) == 1:
        return [int(stages.values[0])] * steps
    return [int(stages(Clock(step, steps))) for step in range(steps)]
