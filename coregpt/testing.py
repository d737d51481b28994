"""Fixtures for the tests of techniques; pytest loads them wherever CoreGPT is installed.

Imports nothing heavy: sessions that test something else load this module too.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from torch import Tensor

    from coregpt.engine.build import Run

TINY = {"vocab": 61, "dim": 32, "depth": 4, "heads": 2, "context": 24}
"""Sizes all different, so that a swapped dimension cannot hide."""


@pytest.fixture
def build(request: pytest.FixtureRequest) -> Callable[..., "Run"]:
    """`build(softcap={"cap": 5})` makes a tiny run with these techniques; `shape` and `config` override the rest.

    A technique is one that `coregpt plugins list` shows, or the file `NAME.py` beside the test or in a folder above
    it, up to pytest's root. Of the run, a test mostly reads `model`, `assembly.params` (parameters by path),
    `optimizer.stacks`, `companions`, `timeline` and `dials.values`.
    """
    from coregpt.contract.config import ModelShape, OptimConfig, RunConfig
    from coregpt.engine.build import build as engine_build

    def make(*, shape: dict[str, Any] | None = None, config: dict[str, Any] | None = None, **plugins: Any) -> "Run":
        model = ModelShape(**{**TINY, **(shape or {})})
        base: dict[str, Any] = {
            "model": model,
            "optim": OptimConfig(lr=0.01),
            "batch_tokens": 4 * model.context,
            "eval_tokens": 2 * model.context,
            "tokens": 40 * model.context,
            "plugins": plugins,
        }
        resolved = RunConfig(**{**base, **(config or {})})
        catalogue = catalogue_with(resolved.plugins, request.path.parent, request.config.rootpath)
        return engine_build(resolved, catalogue.instances(resolved.plugins), separator=0)

    return make


@pytest.fixture
def batch() -> Callable[..., tuple["Tensor", "Tensor"]]:
    """`batch(rows, length)` gives random inputs and next-token targets for the tiny vocabulary."""
    import torch

    def make(rows: int = 4, length: int = TINY["context"], seed: int = 0) -> tuple["Tensor", "Tensor"]:
        generator = torch.Generator().manual_seed(seed)
        tokens = torch.randint(1, TINY["vocab"], (rows, length + 1), generator=generator)
        return tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()

    return make


_catalogues: dict[tuple[Path, ...], Any] = {}


def catalogue_with(names: Any, folder: Path, root: Path) -> Any:
    """The catalogue of all installed techniques and, for other names, of files in `folder` or above, up to `root`.

    In a checkout whose techniques are not the installed ones, also of files among its own.
    """
    from coregpt.lab.study.code.checkouts import Checkout
    from coregpt.lab.study.registry import Catalogue, plain

    installed = _catalogues.setdefault((), Catalogue())
    above = [folder, *(parent for parent in folder.parents if parent == root or root in parent.parents)]
    unknown = [plain(name) for name in names if plain(name) not in installed.found]
    checkout = Checkout.around(folder)
    places = []
    for name in unknown:
        beside = [path for where in above if (path := where / f"{name}.py").is_file()]
        places.append(beside or (sorted(checkout.techniques.rglob(f"{name}.py")) if checkout else []))
    files = tuple(found[0] for found in places if found)
    return _catalogues.setdefault(files, Catalogue(files)) if files else installed
