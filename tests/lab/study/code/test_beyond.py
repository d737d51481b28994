"""A technique that imports more than techniques need is named, with what it imports."""

from pathlib import Path

from coregpt.lab.study.code.beyond import beyond, told
from coregpt.lab.study.registry import Catalogue

MORE = '''"""Reaches far.

Source: nobody.
"""

import gc
import math
from collections.abc import Iterator

import numpy as np
from torch import nn

from coregpt.api import Plugin
from coregpt.engine.data import open_source
from helper import one


class Far(Plugin):
    """Nothing."""
'''


def test_what_is_imported_beyond_is_named_also_by_what_is_imported(tmp_path: Path) -> None:
    (tmp_path / "far.py").write_text(MORE)
    (tmp_path / "helper.py").write_text("import subprocess\n\none = 1\n")
    catalogue = Catalogue([tmp_path / "far.py"])
    assert beyond(catalogue, "far") == ["coregpt.engine.data", "gc", "numpy", "subprocess"]
    assert told(catalogue, ["far"])[0].startswith("far imports coregpt.engine.data, gc, numpy, subprocess, beyond")


def test_no_technique_here_does(catalogue: Catalogue) -> None:
    assert told(catalogue, catalogue.names()) == []
