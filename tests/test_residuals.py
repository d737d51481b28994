"""The noise of real runs follows from the runs' losses, all of them."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.residuals import RESIDUALS, RUNS, text


def test_the_committed_file_is_what_the_command_makes() -> None:
    assert RESIDUALS.read_bytes() == text().encode()


def test_no_run_of_an_arm_is_left_out() -> None:
    runs = pd.read_csv(RUNS, comment="#")
    runs = runs[(runs.track == "track_3_optimization") & runs.val_loss_at_published_step.notna()]
    found = pd.read_csv(RESIDUALS, comment="#")
    counts = runs.record_dir.value_counts()
    assert found.arm.value_counts().to_dict() == counts[counts >= 8].to_dict()
    for arm, values in runs.groupby("record_dir").val_loss_at_published_step:
        if len(values) >= 8:
            mine = found[found.arm == arm].residual.to_numpy()
            # Scaled so that their mean square is the arm's unbiased variance.
            assert np.mean(mine**2) == pytest.approx(values.var(), rel=1e-3)
            assert np.diff(mine) == pytest.approx(np.diff(values) * np.sqrt(len(values) / (len(values) - 1)), abs=2e-7)
