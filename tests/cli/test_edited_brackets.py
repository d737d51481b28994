"""`tuned` takes settings from a report that says what its runs said, and from no other."""

import json
import shutil
from pathlib import Path

import pytest

from coregpt.cli.studies.loading import refuse_edited_brackets
from coregpt.contract.errors import ConfigError
from coregpt.lab.planning.load import load

ROOT = Path(__file__).parents[2]


def test_a_bracket_whose_runs_were_changed_by_hand_is_refused(tmp_path: Path) -> None:
    """Losses and settings that still go together, in a report whose seal is of others."""
    for place in ("ablations/ngpt_vs_gpt.yaml", "reports/ngpt_lr/report.json"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / place, tmp_path / place)
    file = tmp_path / "reports" / "ngpt_lr" / "report.json"
    refuse_edited_brackets([load(tmp_path / "ablations" / "ngpt_vs_gpt.yaml")])
    found = json.loads(file.read_text())
    found["study"]["question"] = "Another question?"
    for _ in range(2):
        file.write_text(json.dumps(found))
        with pytest.raises(ConfigError, match=r"tuned\.from: \.\./reports/ngpt_lr/report\.json: .*; bracket again"):
            refuse_edited_brackets([load(tmp_path / "ablations" / "ngpt_vs_gpt.yaml")])
        found.pop("seal", None)  # and then nothing tells of it
