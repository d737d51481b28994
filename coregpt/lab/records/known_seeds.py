"""Seeds of a baseline whose results are on record: whoever lists seeds by hand then may have chosen them by those."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from coregpt.lab.records.chains import Chains
from coregpt.lab.records.history import COMPLETING, DECLARING
from coregpt.lab.records.ledger import Entry
from coregpt.lab.records.merging import told
from coregpt.lab.records.store import RunFolder


def known_seeds(entries: Iterable[Entry], study: str, runs: Mapping[str, int], store: Path) -> set[int]:
    """Seeds with a result, on any machine, of the baseline of an own study that is registered in a chain.

    Those count that other studies of its chain's baseline had, and `runs`: ids that the baseline has here, by seed.
    A result in `store` counts whether or not its launcher lived to enter it; what the study itself has had so far does
    not count.
    """
    entries = list(entries)
    chains = Chains(entries)
    mine = chains.of(study)
    alike = {(e.machine, e.study) for e in chains.registrations if mine is not None and e.baseline == mine.baseline}
    cells: dict[tuple[str, str], int] = {("", run): seed for run, seed in runs.items()}
    own: set[str] = set()
    complete: set[tuple[str, str]] = set()
    for each in told(entries):
        if each.event in COMPLETING:
            complete.add((each.machine, each["run"]))
        elif each.event in DECLARING and (each.machine, each["study"]) == ("", study):
            own |= {run for run, *_ in each["runs"]}
        elif each.event in DECLARING and (each.machine, each["study"]) in alike:
            baseline = each["declaration"]["test"]["baseline"]
            cells |= {(each.machine, run): seed for run, arm, seed in each["runs"] if arm == baseline}
    complete |= {("", run) for machine, run in cells if not machine and RunFolder(store / run).result_file.exists()}
    complete -= {("", run) for run in own}
    return {seed for cell, seed in cells.items() if cell in complete}
