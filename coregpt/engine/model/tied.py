"""Tied embeddings: one table (V, dim) turns tokens into vectors and vectors into logits (Press & Wolf 2017,
arXiv:1608.05859). It is one parameter, of role `embedding`, counted and moved once, by the sum of both gradients."""

from torch import nn

from coregpt.contract.errors import PluginError
from coregpt.contract.plugin import HookManager
from coregpt.contract.site import Assembly
from coregpt.engine.model.parts import EMBEDDING

HOOKS = ("make_embedding", "make_head", "make_linear")


def refuse_untied(embedding: nn.Module, head: nn.Module, assembly: Assembly, manager: HookManager) -> None:
    """Raises PluginError, naming who is in the way, where `model.tied` is set and the two do not use one table."""
    if not assembly.shape.tied:
        return
    table = assembly.params.get(EMBEDDING)
    if all(any(param is table for param in part.parameters()) for part in (embedding, head)):
        return
    answered = manager.record.answered
    found = [f"'{plugin}' answers {hook}" for plugin, hook in sorted(answered) if hook in HOOKS]
    shape = assembly.shape
    raise PluginError(
        f"model.tied: embedding and head do not use one table of {shape.vocab} x {shape.dim}: "
        f"{' and '.join(found)}; leave out the plugin or model.tied"
    )
