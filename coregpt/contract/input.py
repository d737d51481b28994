"""What a run is given beside its settings and data: weights that existed before it began."""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Protocol

from torch import Tensor

from coregpt.contract.config import RunConfig
from coregpt.contract.errors import PluginError


class Forward(Protocol):
    """The forward pass of a finished model."""

    def __call__(self, tokens: Tensor) -> Tensor:
        """Logits (B, T, V) in fp32 of tokens (B, T)."""
        ...

    def tensors(self) -> list[Tensor]:
        """What it holds in memory."""
        ...


class Input:
    """Another run's final weights, or a file's. Read-only: never trained, counted, or saved with the run."""

    def __init__(
        self,
        name: str,
        config: RunConfig | None,
        read: Callable[[], Mapping[str, Tensor]],
        make: Callable[[], Forward],
    ):
        """`read` gives the weights and `make` the model's forward pass; each is called once, when it is needed."""
        self.name = name
        self.config = config
        """Settings of the run that the weights are from; None for a file that holds nothing else."""
        self._read, self._make = read, make

    @cached_property
    def weights(self) -> Mapping[str, Tensor]:
        """Parameters by path, on the run's device; what evaluation saw (of an average, the averaged ones)."""
        return self._read()

    @cached_property
    def _forward(self) -> Forward:
        return self._make()

    def logits(self, tokens: Tensor) -> Tensor:
        """Logits (B, T, V) in fp32 for tokens (B, T), in evaluation mode, with the dials of that run's last step.

        No gradient. The products have the precision of the pass that calls. Raises PluginError where there is no
        model, saying why.
        """
        return self._forward(tokens)

    def prepare(self) -> None:
        """Make the model now, where there is one: a compiled step must find it made."""
        if self.config is not None:
            self._forward  # noqa: B018

    def held(self) -> list[Tensor]:
        """Tensors that stay in memory for it while the run trains."""
        made: Forward | None = vars(self).get("_forward")
        return [] if made is None else made.tensors()


class MissingInputError(PluginError):
    """A plugin asked for an input that the run does not have."""

    def __init__(self, name: str, there: Mapping[str, object], place: str):
        has = f" (it has {', '.join(sorted(there))})" if there else ""
        where = f" at '{place}'" if place else ""
        super().__init__(
            f"a plugin asks{where} for the input '{name}', which the run does not have{has}; "
            f"write inputs: {{{name}: {{run: ID}}}} or inputs: {{{name}: {{file: PATH}}}}"
        )
        self.name = name


class Inputs(Mapping[str, Input]):
    """The inputs of a run by name. What is asked for is remembered, so that one that nobody reads is found."""

    def __init__(self, given: Mapping[str, Input]):
        self._given = dict(given)
        self.asked: dict[str, Input] = {}

    def __getitem__(self, name: str) -> Input:
        return self.ask(name)

    def ask(self, name: str, place: str = "") -> Input:
        """Raises PluginError for an input that is not there; `place` is the path of the site that asks."""
        if name not in self._given:
            raise MissingInputError(name, self._given, place)
        self.asked[name] = self._given[name]
        return self._given[name]

    def __contains__(self, name: object) -> bool:
        return name in self._given

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)
