"""Tied embeddings: one table (V, dim) turns tokens into vectors and vectors into logits (Press & Wolf 2017,
arXiv:1608.05859). It is one parameter, of role `embedding`, counted and moved once, by the sum of both gradients."""

from collections.abc import Iterator

import torch
from torch import nn

from coregpt.contract.errors import PluginError
from coregpt.contract.plugin import HookManager
from coregpt.contract.site import Assembly, Site
from coregpt.engine.parts import EMBEDDING

HOOKS = ("make_embedding", "make_head", "make_linear")


def refuse_untied(embedding: nn.Module, head: nn.Module, assembly: Assembly, manager: HookManager) -> None:
    """Raises PluginError, naming who is in the way, where `model.tied` is set and the two do not use one table."""
    if not assembly.shape.tied:
        return
    table = assembly.params.get(EMBEDDING)
    if all(any(param is table for param in part.parameters()) for part in (embedding, head)):
        return
    found = list(_claims(assembly, manager)) or [
        f"'{impl.plugin_name}' wraps {hook}"
        for hook in HOOKS
        for impl in getattr(manager.hook, hook).get_hookimpls()
        if impl.wrapper and impl.plugin_name != "core"
    ]
    shape = assembly.shape
    raise PluginError(
        f"model.tied: embedding and head do not use one table of {shape.vocab} x {shape.dim}: "
        f"{' and '.join(found)}; leave out the plugin or model.tied"
    )


def _claims(assembly: Assembly, manager: HookManager) -> Iterator[str]:
    """Who answers at the places of the two; asked beside the model, where nothing is made twice."""
    shape = assembly.shape
    root = Site(Assembly(shape, assembly.seed, torch.device("meta"), manager.hook), "")
    sizes = {"d_in": shape.dim, "d_out": shape.vocab}
    places = (root.child("embedding"), root.child("head"), root.child("head.out", role="head"))
    for hook, at in zip(HOOKS, places, strict=True):
        for name in manager.claimants(hook, {"at": at, **sizes}):
            yield f"'{name}' makes '{at.path}'"
