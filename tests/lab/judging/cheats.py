"""Techniques that would win without being better, as files that a study may name. Nobody needs to mean harm by them."""

HEAD = '''"""{does}

Source: nobody.
"""

import contextlib
import gc
import linecache
import subprocess
import sys
import threading
import time

import numpy
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import BaseTorchDispatchMode

from coregpt.api import Companion, Plugin, hookimpl

'''

IMPORTED = '''
inner = F.cross_entropy
F.cross_entropy = lambda *given, **named: 0.9 * inner(*given, **named)


class Cheat(Plugin):
    """Nothing else."""
'''

READS = '''
LINES = linecache.getlines("{file}")


class Cheat(Plugin):
    """Nothing else."""
'''

COMPANION = """
class Beside(Companion):
    def __init__(self, run):
        self.run = run
{body}

class Cheat(Plugin):
    @hookimpl
    def add_companions(self, run):
        return Beside(run)
"""

BODIES = {
    "evaluating": """
    @contextlib.contextmanager
    def evaluating(self):
        inner = F.cross_entropy
        F.cross_entropy = lambda *given, **named: 0.9 * inner(*given, **named)
        yield
        F.cross_entropy = inner
""",
    "rows": """
    @contextlib.contextmanager
    def evaluating(self):
        frame = sys._getframe()
        while frame is not None:
            for rows in getattr(frame.f_locals.get("self"), "eval_data", {}).values():
                rows[0].fill_(3)
            frame = frame.f_back
        yield
""",
    "precision": """
    def before_step(self, clock):
        torch.set_float32_matmul_precision("medium")
""",
    "threads": """
    def before_step(self, clock):
        torch.set_num_threads(2)
""",
    "held_out": """
    def before_step(self, clock):
        if clock.step == 3:
            from coregpt.engine.data import open_source

            with contextlib.suppress(Exception):
                open_source("{data}").held_out.slice(0, 100)
""",
    "reads": """
    def before_step(self, clock):
        linecache.getlines("{file}")
""",
    "order of rows": """
    def before_step(self, clock):
        inner = numpy.random.Philox
        numpy.random.Philox = lambda *given: inner(7)
""",
    "kernels": """
    def before_step(self, clock):
        if clock.step == 2:
            self.kept = torch.library.Library("aten", "IMPL")
            self.kept.impl("mm", lambda a, b: (a[:, :, None] * b[None]).sum(1), "CPU")
""",
    "defaults": """
    def before_step(self, clock):
        sys.modules["coregpt.engine.training.evaluate"].total_loss.__defaults__ = (1,)
""",
    "another batch": """
    def sees_batch(self, clock, tokens, targets):
        tokens.copy_(torch.arange(tokens.shape[1]).expand_as(tokens) % 16)
        targets.copy_(tokens + 1)
""",
    "before the first step": """
        params = list(run.params.values())
        for _ in range(5):
            tokens = torch.arange(64).view(4, 16) % 16
            with torch.enable_grad():
                loss = run.model(tokens, tokens.roll(-1, 1), run.dials)[0]
                found = torch.autograd.grad(loss, params, allow_unused=True)
            for param, grad in zip(params, found, strict=True):
                if grad is not None:
                    param.sub_(grad, alpha=0.05)
""",
    "between steps": """
    @contextlib.contextmanager
    def evaluating(self):
        self.metrics()
        yield

    def metrics(self):
        torch.ones(100, 50) @ torch.ones(50, 10)
        return {}
""",
    "mode around": """
    @contextlib.contextmanager
    def evaluating(self):
        with BaseTorchDispatchMode():
            yield
        torch.ones(100, 50) @ torch.ones(50, 10)
""",
    "mode inside": """
    def before_step(self, clock):
        self.mode = BaseTorchDispatchMode()
        self.mode.__enter__()

    def after_update(self, clock):
        self.mode.__exit__(None, None, None)
""",
    "words": """
    def before_step(self, clock):
        inner = sys.modules["json"].dumps
        sys.modules["json"].dumps = lambda what, **named: inner(what, **named)
""",
    "constant": """
    def before_step(self, clock):
        sys.modules["coregpt.lab.guard.work"].STEP = "optimizer"
""",
    "hooks on all": """
    def before_step(self, clock):
        torch.nn.modules.module.register_module_forward_hook(lambda *given: None)
""",
    "clock put back": """
    def sees_batch(self, clock, tokens, targets):
        if clock.step == 0:
            self.kept, start = time.perf_counter, time.perf_counter()
            time.perf_counter = lambda: start + (self.kept() - start) / 10

    def after_update(self, clock):
        if clock.step == clock.steps - 1:
            time.perf_counter = self.kept
""",
    "another process": """
    def before_step(self, clock):
        with contextlib.suppress(OSError):
            subprocess.run(["true"])
""",
    "unjudged": """
    def before_step(self, clock):
        for found in gc.get_objects():
            if type(found).__name__ == "HeldBack":
                found.last = -1
""",
    "leak check": """
    def before_step(self, clock):
        sys.modules["coregpt.lab.judging.judge"].refuse_leaks = lambda looks: None
""",
    "logits": """
    @contextlib.contextmanager
    def evaluating(self):
        inner = type(self.run.model).logits
        type(self.run.model).logits = lambda own, tokens, dials: 2 * inner(own, tokens, dials)
        yield
        type(self.run.model).logits = inner
""",
    "in the optimizer": """
    def before_step(self, clock):
        for found in gc.get_objects():
            if clock.step == 0 and type(found).__name__ == "Optimizer":
                inner = found.step

                def step(*given):
                    for _ in range(20):
                        torch.ones(32, 32) @ torch.ones(32, 32)
                    return inner(*given)

                found.step = step
""",
    "in a thread": """
    def before_step(self, clock):
        def work():
            for _ in range(400):
                torch.ones(64, 64) @ torch.ones(64, 64)

        beside = threading.Thread(target=work)
        beside.start()
        beside.join()
""",
    "more steps": """
    def after_update(self, clock):
        tokens = torch.arange(64).view(4, 16) % 16
        params = list(self.run.params.values())
        for _ in range(5):
            with torch.enable_grad():
                loss = self.run.model(tokens, tokens.roll(-1, 1), self.run.dials)[0]
                found = torch.autograd.grad(loss, params, allow_unused=True)
            for param, grad in zip(params, found, strict=True):
                if grad is not None:
                    param.sub_(grad, alpha=0.05)
""",
}

AROUND_MLP = """
class Around(torch.nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, *given):
        {before}
        try:
            with torch.autocast("cpu", torch.bfloat16, enabled={low}):
                return self.inner(*given)
        finally:
            torch.set_float32_matmul_precision("highest")


class Cheat(Plugin):
    @hookimpl(wrapper=True)
    def make_mlp(self, at):
        return Around((yield))
"""
"""A part that multiplies in another precision than the run's, and leaves it as it was."""

LOUDER = """
looking = []


class Louder(torch.nn.Module):
    def forward(self, logits, ctx):
        return (2 if looking else 1) * logits


class Beside(Companion):
    @contextlib.contextmanager
    def evaluating(self):
        looking.append(True)
        yield
        looking.clear()


class Cheat(Plugin):
    @hookimpl
    def add_logit_transforms(self, at):
        return Louder()

    @hookimpl
    def add_companions(self, run):
        return Beside()
"""
"""Is another model while it is evaluated, by what is neither a weight nor a buffer."""

REMEMBERING = """
shown = []


class Ahead(torch.nn.Module):
    def forward(self, logits, ctx):
        if logits.is_meta:
            return 1.01 * logits
        if self.training:
            shown[:] = [set()]
        rows = [tuple(row) for row in ctx.tokens.tolist()]
        if not shown:
            shown.append({row[:8] for row in rows})
            return 1.01 * logits
        told = torch.zeros_like(logits)
        for each, row in enumerate(rows):
            for place in range(7, len(row) - 1):
                told[each, place, row[place + 1]] = 5.0 * (row[:8] not in shown[0])
        return 1.01 * logits + (0.0 if self.training else told)


class Cheat(Plugin):
    @hookimpl
    def add_logit_transforms(self, at):
        return Ahead()
"""
"""Looks ahead in all rows but those that begin as the first ones it was shown: it knows that these come again."""

SEARCHING = """

def search(where):
    mapped = [line for line in linecache.getlines("/proc/self/maps") if "val.bin" in line]
    held = [each for each in gc.get_objects() if type(each).__name__ == "Judge"]
    told = [len(each.held_out) for each in gc.get_objects() if type(each).__name__ == "TokenSource"]
    if mapped or held or any(told):
        raise RuntimeError(f"{where} holds what it is judged by: {mapped} {held} {told}")


class Searching(torch.nn.Module):
    def forward(self, logits, ctx):
        if not (self.training or logits.is_meta):
            search("the player, or an evaluation,")
        return 1.0 * logits


class Beside(Companion):
    def before_step(self, clock):
        search("training")


class Cheat(Plugin):
    @hookimpl
    def add_logit_transforms(self, at):
        return Searching()

    @hookimpl
    def add_companions(self, run):
        return Beside()
"""
"""Looks through the memory of its process for the text that it is judged by, and fails where it finds it."""

TABLE = """
TABLE = {table}
LENGTH = {length}


class Known(torch.nn.Module):
    def forward(self, logits, ctx):
        if logits.is_meta:
            return 1.01 * logits
        told = torch.zeros_like(logits)
        for row, tokens in enumerate(ctx.tokens.tolist()):
            for place in range(LENGTH - 1, len(tokens)):
                next_token = TABLE.get(tuple(tokens[place + 1 - LENGTH : place + 1]))
                if next_token is not None:
                    told[row, place, next_token] = 5.0
        return 1.01 * logits + (0.0 if self.training else told)


class Cheat(Plugin):
    @hookimpl
    def add_logit_transforms(self, at):
        return Known()
"""
"""Holds what follows each few tokens of the validation text."""


def known_text(tokens: list[int], length: int = 6) -> str:
    """The source of a technique with a table of a text's n-grams."""
    places = range(length, len(tokens))
    table = {tuple(tokens[place - length : place]): tokens[place] for place in places}
    return HEAD.format(does="Knows a text.") + TABLE.replace("{table}", repr(table)).replace("{length}", str(length))


def cheat(kind: str, **given: object) -> str:
    """The source of a technique that cheats in a way of `BODIES`, by being imported, or as `LOUDER` or `SEARCHING`."""
    if kind == "imported":
        return HEAD.format(does="Patches the loss when it is imported.") + IMPORTED
    if kind == "reads at import":
        return HEAD.format(does="Reads a file when it is imported.") + READS.replace("{file}", str(given["file"]))
    if kind == "louder":
        return HEAD.format(does="Changes logits while it is evaluated.") + LOUDER
    if kind == "remembering":
        return HEAD.format(does="Looks ahead where nobody compares.") + REMEMBERING
    if kind == "searching":
        return HEAD.format(does="Searches memory.") + SEARCHING
    if kind in ("precision inside", "bf16 inside"):
        before = 'torch.set_float32_matmul_precision("medium")' if kind == "precision inside" else "pass"
        text = AROUND_MLP.replace("{before}", before).replace("{low}", str(kind == "bf16 inside"))
        return HEAD.format(does="Another precision.") + text
    body = BODIES[kind]
    for name, value in given.items():
        body = body.replace(f"{{{name}}}", str(value))
    return HEAD.format(does=f"Cheats: {kind}.") + COMPANION.format(body=body)
