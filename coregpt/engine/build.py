"""RunConfig and plugins in, a run that can be trained out."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from coregpt.contract.companion import Companion
from coregpt.contract.config import RunConfig
from coregpt.contract.errors import PluginError
from coregpt.contract.hookspecs import Hooks
from coregpt.contract.plugin import HookManager, Plugin
from coregpt.contract.runview import RunView
from coregpt.contract.site import Assembly
from coregpt.engine.defaults import Defaults
from coregpt.engine.dials import Dials, collect
from coregpt.engine.model import GPT
from coregpt.engine.optimizer import Optimizer
from coregpt.engine.tied import refuse_untied
from coregpt.engine.timeline import Timeline, plan_steps
from coregpt.engine.world import World

NamedPlugins = Sequence[tuple[str, Plugin]]


@dataclass
class Run:
    """Everything a training loop touches."""

    config: RunConfig
    model: GPT
    assembly: Assembly
    dials: Dials
    timeline: Timeline
    optimizer: Optimizer
    companions: list[Companion]
    owners: list[str]
    """The plugin of each companion."""
    world: World

    @property
    def device(self) -> torch.device:
        return self.assembly.device


def hooks_for(config: RunConfig, plugins: NamedPlugins) -> HookManager:
    """A manager with core's defaults innermost and the plugins around them, in the given order."""
    manager = HookManager(Hooks)
    manager.add(Defaults(manager, config.optim, config.data.document_mask), "core")
    for name, plugin in plugins:
        manager.add(plugin, name)
    return manager


def build(
    config: RunConfig,
    plugins: NamedPlugins,
    *,
    separator: int | None = None,
    device: torch.device | str | None = None,
    world: World | None = None,
) -> Run:
    """Asks every hook once. `device="meta"` builds shapes without memory (for plans and counts).

    `plugins` are in registration order, innermost first. `separator` is the document separator's token id.
    Raises PluginError for clashes.
    """
    world = world or World()
    manager = hooks_for(config, plugins)
    where = torch.device(device or config.device)
    view = RunView(config.model, config.tokens, config.batch_tokens, config.seed)
    schedules = collect(manager, view)
    timeline = plan_steps(config, schedules)
    assembly = Assembly(config.model, config.seed, where, manager.hook)
    model = GPT(assembly, separator if config.data.document_mask else None)
    _refuse_strays(model, assembly)
    _refuse_unserved(assembly)
    refuse_untied(model.embedding, model.head, assembly, manager)
    optimizer = Optimizer(assembly, world, config.optim.grad_clip)
    dials = Dials(schedules, where)
    full = RunView(
        config.model,
        config.tokens,
        config.batch_tokens,
        config.seed,
        model,
        assembly.params,
        assembly.infos,
        dials.values,
        world.all_reduce,
    )
    with torch.no_grad():
        answers = manager.named("add_companions", {"run": full})
    dials.set(timeline.clock(0))
    owners, companions = [name for name, _ in answers], [companion for _, companion in answers]
    return Run(config, model, assembly, dials, timeline, optimizer, companions, owners, world)


def _refuse_strays(model: GPT, assembly: Assembly) -> None:
    """A parameter made behind the site's back would depend on global randomness and never be trained."""
    known = {id(param) for param in assembly.params.values()}
    strays = [name for name, param in model.named_parameters() if id(param) not in known]
    if strays:
        raise PluginError(f"parameters not made through at.weight or at.scale: {', '.join(strays)}")


def _refuse_unserved(assembly: Assembly) -> None:
    """What a plugin asked of attention must come from somewhere, or its first forward pass would fail."""
    for path, wanted in assembly.watched.items():
        if wanted and path not in assembly.serving:
            asker = f"plugin '{assembly.watchers[path]}'" if assembly.watchers[path] else "a plugin"
            raise PluginError(
                f"{asker} watches {' and '.join(sorted(wanted))} at '{path}', but no attention there gives it"
            )
