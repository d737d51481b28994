"""The only module a plugin imports: the contract, and the parts it may build with."""

from coregpt.contract.companion import Companion
from coregpt.contract.config import ModelShape, OptimConfig, Share, Span
from coregpt.contract.context import Context
from coregpt.contract.errors import PluginError
from coregpt.contract.heads import Heads
from coregpt.contract.input import Input
from coregpt.contract.plugin import Plugin, hookimpl
from coregpt.contract.prescription import Prescription
from coregpt.contract.randomness import Noise, uniform
from coregpt.contract.rules import (
    Clock,
    DecayRule,
    Dials,
    ParamGroup,
    ParamInfo,
    ParamRule,
    Role,
    Schedule,
    Stages,
    UpdateRule,
)
from coregpt.contract.runview import RunView
from coregpt.contract.site import Site
from coregpt.engine.arithmetic.fused import unit_norm, without_autocast
from coregpt.engine.attention.attend import attend, build_mask
from coregpt.engine.attention.masks import SameDocument, SlidingWindow
from coregpt.engine.attention.scores import Attended
from coregpt.engine.model.parts import MLP, Attend, Attention, Linear, RMSNorm
from coregpt.engine.training.updates import AdamW

__all__ = [
    "MLP",
    "AdamW",
    "Attend",
    "Attended",
    "Attention",
    "Clock",
    "Companion",
    "Context",
    "DecayRule",
    "Dials",
    "Heads",
    "Input",
    "Linear",
    "ModelShape",
    "Noise",
    "OptimConfig",
    "ParamGroup",
    "ParamInfo",
    "ParamRule",
    "Plugin",
    "PluginError",
    "Prescription",
    "RMSNorm",
    "Role",
    "RunView",
    "SameDocument",
    "Schedule",
    "Share",
    "Site",
    "SlidingWindow",
    "Span",
    "Stages",
    "UpdateRule",
    "attend",
    "build_mask",
    "hookimpl",
    "uniform",
    "unit_norm",
    "without_autocast",
]
