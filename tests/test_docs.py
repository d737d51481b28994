"""Files that the documentation names are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [*(ROOT / name for name in ("README.md", "AGENTS.md", "CONTRIBUTING.md")), *(ROOT / "docs").rglob("*.md")]
WHOLE = ("coregpt/", "tests/", "plugins/", "benchmarks/", "docs/")
"""How a path begins that is written out from the root."""
EXAMPLE = {"plugins/attention/attention_gate.py", "tests/plugins/attention/test_attention_gate.py"}
"""The technique that CONTRIBUTING.md shows how to write."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_are_there(page: Path) -> None:
    """Five decisions and two pages named files that had moved."""
    text = page.read_text("utf-8")
    named = {path for path in re.findall(r"`([\w./-]+\.(?:py|md|yaml|json|csv))`", text) if path.startswith(WHOLE)}
    linked = {link for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text) if ":" not in link}
    assert [path for path in sorted(named - EXAMPLE) if not (ROOT / path).exists()] == []
    assert [link for link in sorted(linked) if not (page.parent / link).exists()] == []
