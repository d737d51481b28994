"""A file that a plugin reads by itself is in no identity: it is refused with its line."""

import re
from pathlib import Path

import pytest

from coregpt.contract.errors import PluginError
from coregpt.lab.study.code.closure import closure
from coregpt.lab.study.code.imports import uses
from coregpt.lab.study.registry import Catalogue

ROOT = Path(__file__).parents[4]
READS = [
    "TABLE = open('table.txt').read()",
    "import builtins\nTABLE = builtins.open('table.txt')",
    "def f(path):\n    with open(path, 'r+') as file:\n        return file",
    "from pathlib import Path\nTABLE = Path(__file__).with_name('t').read_text()",
    "from pathlib import Path\nTABLE = Path(__file__).with_name('t').open('rb')",
    "from pathlib import Path\nHERE = Path(__file__)\nTABLE = HERE.open()",
    "import numpy as np\nTABLE = np.load('t.npy')",
    "from numpy import fromfile as raw\nTABLE = raw('t.bin')",
    "import torch\nTABLE = torch.load('t.pt')",
    "from torch import load\nTABLE = load('t.pt')",
    "import torch\nREADER = torch.load",
    "import torch\nTABLE = getattr(torch, 'load')('t.pt')",
    "import json, io\nTABLE = json.load(io.open('t.json'))",
    "class C:\n    def f(self):\n        return self.path.open()",
    "import pandas as pd\nTABLE = pd.read_csv('t.csv')",
    "TABLES = list(map(open, ['a', 'b']))",
    "from torch.utils.cpp_extension import load\nKERNEL = load('k', ['k.cpp'])",
]
OTHERS = [
    "with open('log.txt', 'a') as file:\n    file.write('x')",
    "with open('log.txt', mode='w') as file:\n    file.write('x')",
    "from pathlib import Path\nPath('log.txt').open('w').write('x')",
    "def gate(open, load):\n    return open * load",
    "open = 3\nx = open + 1",
    "class Gate:\n    open: bool = True\n\n    def forward(self, x):\n        return x if self.open else self.load(x)",
    "import torch\nx = getattr(torch, 'float32')\n\n\ndef f(name):\n    return getattr(torch, name)",
    "import json\nx = json.loads('[1]')",
    "state.load_state_dict({})\nmodel.eval()",
]


@pytest.mark.parametrize("text", READS)
def test_what_reads_a_file_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "plugin.py").write_text(text)
    with pytest.raises(
        PluginError, match=rf"^{re.escape(str(tmp_path))}/plugin.py:\d+: \S+\(\) reads a file that is in"
    ):
        closure(tmp_path / "plugin.py", "")


@pytest.mark.parametrize("text", OTHERS)
def test_what_writes_or_only_has_such_a_name_is_not(text: str) -> None:
    uses(text, "")


def test_a_function_by_a_name_that_is_computed_is_refused() -> None:
    with pytest.raises(PluginError, match=r"3: getattr\(\) takes a function of importlib by a name that is computed"):
        uses("import importlib\nname = 'import_' + 'module'\nload = getattr(importlib, name)('helper')", "")


def test_a_helper_that_reads_is_refused_too(tmp_path: Path) -> None:
    (tmp_path / "plugin.py").write_text("import s7_table\n")
    (tmp_path / "s7_table.py").write_text("x = 1\ny = open('t').read()\n")
    Catalogue([tmp_path / "plugin.py"])  # serves what lies beside it
    with pytest.raises(PluginError, match=r"s7_table.py:2: open\(\) reads"):
        closure(tmp_path / "plugin.py", "", (), tmp_path)


def test_no_technique_here_and_no_draft_reads_a_file() -> None:
    for folder in ("plugins", "coregpt/lab/authoring/drafts"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            uses(path.read_text("utf-8"), "plugins")
