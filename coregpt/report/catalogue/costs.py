"""What the atlas took, by report, and what was looked at again."""

from collections.abc import Sequence

from coregpt.report.catalogue.facts import Again, Family, Finding
from coregpt.report.drawing.numbers import plural
from coregpt.report.drawing.tables import Table


def costs(families: Sequence[Family]) -> Table:
    """A line a report; the last has every run once, and is the sum of what the others show."""
    head = ("report", "made by", "runs", "hours of a core", "of these in a line above", "seeds of the test", "with")
    rows, runs, hours = list[tuple[str, ...]](), 0, 0.0
    for each in families:
        own, shared = round(each.hours, 2), round(each.shared_hours, 2)
        runs, hours = runs + each.runs - each.shared_runs, hours + own - shared
        above = f"{plural(each.shared_runs, 'run')}, {shared:.2f} h" if each.shared_runs else ""
        rows.append(
            (each.report, each.command, str(each.runs), f"{own:.2f}", above, str(each.seeds), each.machine),
        )
    total = ("all, each run once", "", str(runs), f"{hours:.2f}", "", "", "")
    return Table("Cost", head, [*rows, total], words=True)


def looked_again(rows: Sequence[Finding]) -> Table | None:
    """What trained the fresh seeds, by command; None where nobody looked."""
    by_command: dict[tuple[str, str], tuple[Again, list[str]]] = {}
    for row in rows:
        if (again := row.effect.again) is not None:
            by_command.setdefault((row.effect.report, again.command), (again, []))[1].append(row.technique)
    if not by_command:
        return None
    cells = [
        (report, command, ", ".join(map(str, again.seeds)), again.machine, ", ".join(sorted(names)))
        for (report, command), (again, names) in sorted(by_command.items())
    ]
    return Table("Looked at again", ("report", "made by", "fresh seeds", "with", "techniques"), cells, words=True)
