"""`coregpt results`: the tables of a report on the terminal, or as files for other programs."""

import importlib.util
import io
import math
from pathlib import Path

import pandas as pd

from coregpt.cli.screen import say, table
from coregpt.contract.errors import ConfigError
from coregpt.lab.atomic import writable_folder, write_bytes
from coregpt.lab.progress import duration
from coregpt.report.drawing.units import told_in
from coregpt.results import Results, load


def results(study: str, reports: Path | None, csv: Path | None, parquet: Path | None) -> int:
    """Print the runs, or write runs, curves and comparisons into the folder `csv` or `parquet` (not both)."""
    if parquet is not None and importlib.util.find_spec("pyarrow") is None:
        raise ConfigError(
            "--parquet needs pyarrow, which is not installed: python -m pip install pyarrow, or use --csv"
        )
    found = load(study, reports)
    folder = csv if parquet is None else parquet
    if folder is None:
        _show(found)
        return 0
    frames = {"runs": found.runs(), "curves": found.curves(), "comparisons": found.comparisons()}
    ending, packed = (".csv", as_csv) if parquet is None else (".parquet", as_parquet)
    files = {f"{name}{ending}": packed(frame) for name, frame in frames.items()}
    writable_folder(folder)
    for name, data in files.items():
        write_bytes(folder / name, data)
    for file, frame in zip(files, frames.values(), strict=True):
        say(f"  {folder / file}  ({len(frame):,} rows)")
    return 0


def as_csv(frame: pd.DataFrame) -> bytes:
    """UTF-8 with a header. Numbers have as many digits as it takes to read them back to the last bit.

    What is unknown is NaN in every column of numbers, so that an empty cell is an empty text and nothing else.
    """
    return frame.to_csv(index=False, na_rep="NaN", lineterminator="\n").encode()


def as_parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, engine="pyarrow", index=False)
    return buffer.getvalue()


def _show(found: Results) -> None:
    study = found.report.study
    say(f"{study.name}: {told_in(study.metric, study.unit)}, from {found.source}")
    rows = [["arm", "seed", "status", study.metric, "training"]]
    for run in found.runs().itertuples():
        value = "" if math.isnan(run.value) else f"{run.value:.4f}"
        seconds = "" if math.isnan(run.train_seconds) else duration(run.train_seconds)
        rows.append([run.arm, str(run.seed), run.status, value, seconds])
    for line in ("", *table(rows), "", found.report.headline):
        say(line)
