"""The sections of a study's report, once for both media and in the order in which they are read."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from coregpt.report.designs import DESIGNS
from coregpt.report.drawing import tables
from coregpt.report.drawing.agreement import agreement
from coregpt.report.drawing.curve_charts import ArmCurves, curve_axes
from coregpt.report.drawing.markup import (
    Code,
    Folded,
    Items,
    Labelled,
    Section,
    blocks_html,
    details,
    paragraph,
    table_html,
)
from coregpt.report.drawing.numbers import listing
from coregpt.report.facts.model import Report
from coregpt.report.pages.further import further_section
from coregpt.report.pages.method import digest_label, method
from coregpt.report.pages.paste import paste_section
from coregpt.report.pages.pictures import curve_section, forest_section, gap_section, pairs_section

_RUNS_IN_SIGHT = 24  # a longer list is folded away, except for runs that did not finish


def sections(report: Report, curves: list[ArmCurves], picture: str) -> list[Section]:
    """Those that this report has something to say in; `picture` is the path of the learning curves."""
    pictures = (
        forest_section(report),
        curve_section(report, curves, curve_axes(curves), picture),
        gap_section(report, curves),
        pairs_section(report),
    )
    return [
        *([Section("Worth knowing", (Items(report.notes),), continues=True)] if report.notes else []),
        *_published(report),
        *(section for design in DESIGNS for section in design.sections(report)),
        *([further_section(report)] if any(c.more_runs for c in report.comparisons) else []),
        *(section for section in pictures if section is not None),
        Section(
            "The numbers",
            (
                tables.results(report),
                tables.results_note(report),
                Folded("Second opinions", (tables.checks(report),)),
            ),
        ),
        paste_section(report),
        _costs(report),
        _runs(report),
        *_fairness(report),
        *_method(report),
        *(section for design in DESIGNS for section in design.appendix(report)),
    ]


def _published(report: Report) -> Iterator[Section]:
    if report.published is not None:
        words = Items(tuple(agreement(report, report.published)))
        digest = Labelled("sha256 of its JSON", (report.published.sha256,))
        yield Section("Against the published report", (words, digest))


def _costs(report: Report) -> Section:
    table = tables.costs(report)
    if tables.PER_TOKEN not in table.head:
        return Section("What it costs", (table,))
    words = "Time per token is relative to the baseline run of the same seed and holds for this machine only."
    apart = (_apart(report.timed_apart),) if report.timed_apart else ()
    return Section("What it costs", (table, *apart), html=table_html(table) + "".join(map(paragraph, (words, *apart))))


def _apart(arms: Sequence[str]) -> str:
    return (
        f"The runs of {listing(list(arms))} were not trained while the baseline's were, so their time per token holds "
        "what else the machine did at either time: it says nothing of how long a step takes."
    )


def _runs(report: Report) -> Section:
    """On the HTML page a long list is folded away, but for what went wrong."""
    table, others = tables.runs(report), tables.other_runs(report)
    left_out = (Folded("Started and left out", (others,)),) if others.rows else ()
    if len(table.rows) <= _RUNS_IN_SIGHT:
        known = table_html(table)
    else:
        bad = [row for i, row in enumerate(table.rows) if i in table.bad]
        short = replace(table, title="Runs that did not finish", rows=bad)
        known = table_html(short) if bad else paragraph("All planned runs finished.")
        known += details(f"All {len(table.rows)} runs", table_html(table))
    return Section("Every run", (table, *left_out), html=known + (table_html(others) if others.rows else ""))


def _fairness(report: Report) -> Iterator[Section]:
    confounds = tables.confounds(report)
    yield Section("What each arm changes", (tables.arms(report),))
    differs = confounds if confounds.rows else "Nothing else was found to differ between the arms."
    yield Section("What else differs", (differs,), continues=True)
    yield Section("Data", (tables.data(report),), continues=True)


def _method(report: Report) -> Iterator[Section]:
    study = report.study
    yield Section("How it was decided", (*method(report), Labelled(digest_label(study), (study.digest,))))
    digest = study.environment.digest
    named = (Labelled("Environment digest", (digest,)),) if digest else ()
    yield Section("Environment", (tables.environment(report), *named), continues=True)
    again = paragraph("Run the study again, or rebuild this page from report.json alone with coregpt report.")
    command = (Code(study.command),) if study.command else ()
    yield Section("Reproduce", command, html=again + blocks_html(command), continues=True)
