"""Techniques of a few lines that make others do nothing, as files for a study's `plugin_files`."""

from pathlib import Path

HEAD = '''"""A card.

Source: none.
"""
from contextlib import contextmanager
import torch
from torch import nn
from coregpt.api import *
from coregpt.api import hookimpl, Plugin
'''
FILES = {
    # A mask that hides few keys, all of them within one block: it costs as much as none.
    "head_windows": """
from dataclasses import dataclass

@dataclass(frozen=True)
class Windows:
    base: int
    def __call__(self, b, h, q, k, ctx): return q - k < self.base * 2 ** h

class HeadWindows(Plugin):
    base: int = 4
    @hookimpl
    def add_masks(self, at): return Windows(self.base)
""",
    # A mask that hides nothing.
    "open": """
class Open(Plugin):
    @hookimpl
    def add_masks(self, at): return lambda b, h, q, k, ctx: q >= k
""",
    # Never asks for a position or for masks, as delta nets do not.
    "recurrent": """
class Mean(nn.Module):
    def __init__(self, at):
        super().__init__()
        self.v = at.linear("v", at.shape.dim, at.shape.dim)
    def forward(self, x, ctx):
        steps = torch.arange(1, x.shape[1] + 1, device=x.device).view(-1, 1)
        return self.v(x).cumsum(1) / steps

class Recurrent(Plugin):
    @hookimpl
    def make_attention(self, at): return Mean(at)
""",
    # Softmax attention that knows causality and no rules.
    "maskless": """
class Plain(nn.Module):
    def forward(self, q, k, v, x, ctx): return attend(q, k, v, None)

class Maskless(Plugin):
    @hookimpl
    def make_attend(self, at): return Plain()
""",
    # The last two layers, in which alone others may act, are the first two again.
    "again": """
class Again(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner
    def forward(self, x, ctx): return self.inner(x, ctx)

class Twice(Plugin):
    after = ("late",)
    @hookimpl(wrapper=True)
    def make_block(self, at):
        block = yield
        first = at.shared(f"loop.{at.layer % 2}", lambda site: block)
        return Again(first)
""",
    # Acts in the second half of the layers.
    "late": """
class Louder(nn.Module):
    def __init__(self, at, inner):
        super().__init__()
        self.inner, self.gain = inner, at.scale("gain", (), 2.0)
    def forward(self, x, ctx): return self.gain * self.inner(x, ctx)

class Late(Plugin):
    @hookimpl(wrapper=True)
    def make_block(self, at):
        block = yield
        return Louder(at, block) if at.layer >= at.shape.depth // 2 else block
""",
    # Evaluates weights of its own, whatever others put there before.
    "own_weights": """
class Own(Companion):
    def __init__(self, run):
        self.run, self.slow = run, {}
    def after_update(self, clock):
        for path, p in self.run.params.items():
            self.slow.setdefault(path, torch.zeros_like(p)).lerp_(p.detach(), 1 / (clock.step + 1))
    @contextmanager
    def evaluating(self):
        last = {path: p.detach().clone() for path, p in self.run.params.items()}
        for path, p in self.slow.items(): self.run.params[path].data.copy_(p)
        yield
        for path, p in last.items(): self.run.params[path].data.copy_(p)
    def state_dict(self): return self.slow
    def load_state_dict(self, state): self.slow = state

class OwnWeights(Plugin):
    after = ("ema",)
    @hookimpl
    def add_companions(self, run): return Own(run)
""",
    # Only looks.
    "watch": """
class Norm(Companion):
    def __init__(self, run): self.run = run
    def metrics(self): return {"norm": 1.0}

class Watch(Plugin):
    @hookimpl
    def add_companions(self, run): return Norm(run)
""",
    # A dial that nobody reads.
    "dial": """
class Dial(Plugin):
    @hookimpl
    def add_schedules(self): return {"nobody": lambda clock: clock.progress, "none": Stages((0.5, 1), (1, 2))}
""",
    # A loss that is weighted with zero is still computed; one that is not there does nothing.
    "empty_loss": """
class EmptyLoss(Plugin):
    @hookimpl
    def add_losses(self, at): return {}
""",
    # Changes what it wraps, and returns the same object.
    "in_place": """
class InPlace(Plugin):
    @hookimpl(wrapper=True)
    def make_activation(self, at, width):
        made = yield
        made.register_forward_hook(lambda module, args, out: out * 2)
        return made
""",
}


def write(folder: Path, *names: str) -> list[str]:
    """The files of these techniques in `folder`; their names, for `plugin_files`."""
    for name in names:
        (folder / f"{name}.py").write_text(HEAD + FILES[name])
    return [f"{name}.py" for name in names]
