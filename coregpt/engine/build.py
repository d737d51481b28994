"""RunConfig and plugins in, a run that can be trained out."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch

from coregpt.contract import answers as checked
from coregpt.contract.companion import Companion
from coregpt.contract.config import RunConfig
from coregpt.contract.errors import PluginError
from coregpt.contract.hookspecs import Hooks
from coregpt.contract.input import Inputs
from coregpt.contract.plugin import HookManager, Plugin
from coregpt.contract.record import CORE
from coregpt.contract.runview import RunView
from coregpt.contract.site import Assembly
from coregpt.engine.dials import SIZES, Dials, collect, owners
from coregpt.engine.inputs import FinishedModel, Given, Stored, finished, open_inputs
from coregpt.engine.model.defaults import Defaults
from coregpt.engine.model.gpt import GPT
from coregpt.engine.model.tied import refuse_untied
from coregpt.engine.training.optimizer import Optimizer
from coregpt.engine.training.timeline import Timeline, plan_steps
from coregpt.engine.training.world import World

NamedPlugins = Sequence[tuple[str, Plugin]]


@dataclass
class Assembled:
    """A model with its parameters and dials, and nothing that trains it."""

    model: GPT
    assembly: Assembly
    dials: Dials
    timeline: Timeline
    manager: HookManager


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
    inputs: Inputs

    @property
    def device(self) -> torch.device:
        return self.assembly.device


def hooks_for(config: RunConfig, plugins: NamedPlugins) -> HookManager:
    """A manager with core's defaults innermost and the plugins around them, in the given order."""
    manager = HookManager(Hooks)
    manager.add_hookcall_monitoring(checked.before, checked.after)
    manager.add(Defaults(manager, config.optim, config.data.document_mask), CORE)
    for name, plugin in plugins:
        manager.add(plugin, name)
    return manager


def build(
    config: RunConfig,
    plugins: NamedPlugins,
    *,
    inputs: Given | None = None,
    separator: int | None = None,
    device: torch.device | str | None = None,
    world: World | None = None,
) -> Run:
    """Asks every hook once. `device="meta"` builds shapes without memory (for plans and counts).

    `plugins` are in registration order, innermost first. `inputs` are where the config's inputs lie, by name; a file
    without techniques may be left out. `separator` is the document separator's token id. Raises PluginError for
    clashes, and for inputs that no plugin asks for.
    """
    world = world or World()
    where = torch.device(device or config.device)
    given = open_inputs(config.inputs, inputs or {}, where, partial(_again, where=where, separator=separator))
    made = assemble(config, plugins, given, where, separator)
    model, assembly, dials = made.model, made.assembly, made.dials
    _refuse_strays(model, assembly, made.manager)
    _refuse_unserved(assembly)
    refuse_untied(model.embedding, model.head, assembly, made.manager)
    optimizer = Optimizer(assembly, world, config.optim.grad_clip)
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
        world.all_max,
        given,
    )
    with torch.no_grad():
        answers = _companions(made.manager, full)
    dials.set(made.timeline.clock(0))
    _refuse_unused(given)
    for each in given.asked.values():
        each.prepare()
    made.manager.record.close()
    owners, companions = [name for name, _ in answers], [companion for _, companion in answers]
    return Run(config, model, assembly, dials, made.timeline, optimizer, companions, owners, world, given)


def assemble(
    config: RunConfig, plugins: NamedPlugins, inputs: Inputs, where: torch.device, separator: int | None
) -> Assembled:
    """The model alone; see `build`."""
    manager = hooks_for(config, plugins)
    view = RunView(config.model, config.tokens, config.batch_tokens, config.seed, inputs=inputs)
    schedules = collect(manager, view)
    try:
        timeline = plan_steps(config, schedules)
    except PluginError as error:
        who = checked.sources("add_schedules", owners(manager, view, *SIZES))
        raise PluginError(f"{who}: add_schedules: {error}") from None
    assembly = Assembly(config.model, config.seed, where, manager.hook, inputs=inputs, record=manager.record)
    model = GPT(assembly, separator if config.data.document_mask else None)
    return Assembled(model, assembly, Dials(schedules, where), timeline, manager)


def _again(
    config: RunConfig, plugins: NamedPlugins, inputs: Given, *, where: torch.device, separator: int | None
) -> Assembled:
    """The model of a finished run, with its first values. Its tokens are those of the run that asks."""
    given = open_inputs(config.inputs, inputs, where, partial(_again, where=where, separator=separator))
    return assemble(config, plugins, given, where, separator)


def again(stored: Stored, device: torch.device | str, separator: int | None = None) -> FinishedModel:
    """The model of a finished run from its weights. Raises PluginError where they are not those of its settings.

    `separator` is the document separator of the tokens that it will be given.
    """
    where = torch.device(device)
    if stored.config is None:
        raise PluginError(f"{stored.path} has weights and no model: {stored.no_model}")
    made = _again(stored.config, stored.plugins, stored.inputs, where=where, separator=separator)
    return finished(made, stored, where)


def _refuse_unused(given: Inputs) -> None:
    """An input is a part of the run's identity: one that nobody reads would make two runs of one."""
    for name in given:
        if name not in given.asked:
            raise PluginError(
                f"inputs.{name}: no plugin of this run asks for it; remove it, or enable the one that does"
            )


def _companions(manager: HookManager, view: RunView) -> list[tuple[str, Companion]]:
    """Each with the plugin it belongs to: asked one by one, past the monitor that checks other answers."""
    impls = manager.hook.add_companions.get_hookimpls()
    try:
        found = manager.named("add_companions", {"run": view})
    except BaseException as error:
        checked.refuse_failed(error, "add_companions", impls)
        raise
    for name, companion in found:
        own = [impl for impl in impls if impl.plugin_name == name]
        checked.refuse_wrong("add_companions", [companion], own, {})
    return found


def _refuse_strays(model: GPT, assembly: Assembly, manager: HookManager) -> None:
    """A parameter made behind the site's back would depend on global randomness and never be trained."""
    known = {id(param) for param in assembly.params.values()}
    strays = [name for name, param in model.named_parameters() if id(param) not in known]
    if strays:
        around = [strays[0].rsplit(".", length)[0] for length in range(1, strays[0].count(".") + 1)]
        gave = manager.record.gave([model.get_submodule(path) for path in around])
        asked = [(hook, getattr(manager.hook, hook).get_hookimpls(), name) for name, hook in gave]
        who = [checked.sources(hook, [i for i in impls if i.plugin_name == name]) for hook, impls, name in asked]
        told = f" by {who[0]}" if who else ""
        raise PluginError(f"parameters not made through at.weight or at.scale{told}: {', '.join(strays)}")


def _refuse_unserved(assembly: Assembly) -> None:
    """What a plugin asked of attention must come from somewhere, or its first forward pass would fail."""
    for path, wanted in assembly.watched.items():
        if wanted and path not in assembly.serving:
            raise PluginError(
                f"{assembly.watchers[path]} watches {' and '.join(sorted(wanted))} at '{path}', "
                "but no attention there gives it"
            )
