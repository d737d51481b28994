"""Give parameters settings of their own by where they stand: rates, decay, AdamW's betas and epsilon, initial size.

A place is one or more words of a parameter's path, joined by dots: `mlp.down` is every parameter with these two words
in a row, as `blocks.3.mlp.down.weight`. `lr`, `weight_decay` and `init` multiply what the parameter would have; `betas`
and `eps` take the place of AdamW's. Of several places that one parameter has the longest counts, alone.

Suggested settings: the default, twice the rate for the way out of the MLP, as the speedrun has it since it stores that
matrix transposed; 4 where the factor sqrt(rows / columns) of the stored shape counts too (record 89).
When it hurts / conflicts: settings are not an idea. A comparison needs them in every arm, or it compares rates. A place
that no parameter has is refused, unless it is `optional`, as for a technique that one arm goes without. What another
technique says of rate, decay or size is multiplied; two that name betas clash, `param_groups` too.
Source: modded-nanogpt record 89 and its medium track; its optimization track, record 46 (betas of gains and biases).
"""

import difflib
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat

from coregpt.api import ParamInfo, ParamRule, Plugin, PluginError, RunView, hookimpl

Decay = Annotated[float, Field(ge=0, lt=1)]
Place = Annotated[str, Field(pattern=r"^\w+(\.\w+)*$")]


class Settings(BaseModel):
    """Of one place; what is not named stays."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lr: NonNegativeFloat = 1.0
    """Multiplies the learning rate; 0 leaves a parameter as it starts."""
    weight_decay: NonNegativeFloat = 1.0
    """Multiplies the weight decay."""
    init: NonNegativeFloat = 1.0
    """Multiplies the initial value; 0 starts at zero."""
    betas: tuple[Decay, Decay] | None = None
    """AdamW's decay of both moments."""
    eps: PositiveFloat | None = None
    """AdamW's epsilon."""
    optional: bool = False
    """Whether a model may have no such parameter, as where its technique is left out."""


class PathGroups(Plugin):
    """One rule a parameter."""

    after: ClassVar[tuple[str, ...]] = ("mimetic_vo_init", "normal_init", "uniform_init")
    neutral: ClassVar[dict[str, Any] | None] = {"places": {}}

    places: dict[Place, Settings] = Field(default_factory=lambda: {"mlp.down": Settings(lr=2.0, optional=True)})
    """Settings by place."""

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        found = sorted((place for place in self.places if stands(param.path, place)), key=words)
        if not found:
            return None
        if len(found) > 1 and words(found[-1]) == words(found[-2]):
            names = " and ".join(f"'{place}'" for place in found[-2:])
            raise PluginError(f"path_groups: {names} are both places of '{param.path}'; make one of them longer")
        own = self.places[found[-1]]
        return ParamRule(lr=own.lr, weight_decay=own.weight_decay, init=own.init, betas=own.betas, eps=own.eps)

    @hookimpl
    def add_companions(self, run: RunView) -> None:
        """None: it only looks whether every place is there, once all parameters are."""
        for place, own in self.places.items():
            if not own.optional and not any(stands(path, place) for path in run.params):
                raise PluginError(
                    f"path_groups: no parameter has the place '{place}'{nearest(place, run.params)}; a place that is "
                    "there in some arms only is marked with optional: true"
                )


def nearest(place: str, paths: Iterable[str]) -> str:
    """`; did you mean 'mlp.down'?`, of as many words as the place has."""
    length = words(place) + 1
    split = [path.split(".") for path in paths]
    there = {".".join(parts[i : i + length]) for parts in split for i in range(len(parts) - length + 1)}
    close = difflib.get_close_matches(place, sorted(there), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def stands(path: str, place: str) -> bool:
    """Whether the words of `place` are in `path`, in a row."""
    return f".{place}." in f".{path}."


def words(place: str) -> int:
    return place.count(".")
