"""`coregpt ablate` of a family: every member as a study of its own, then what can be said of all of them."""

from coregpt.cli.reports.report import read_report
from coregpt.cli.screen import say
from coregpt.cli.studies.folders import refuse_folder
from coregpt.cli.studies.resources import Resources
from coregpt.cli.studies.training import ready, refuse_in_vain, run_study
from coregpt.lab.atomic import gone_if_refused, writable_folder, write_text
from coregpt.lab.planning import chain
from coregpt.lab.planning.plans import outlines, plan
from coregpt.lab.planning.preregister import register
from coregpt.lab.study.declaration import Study
from coregpt.report.designs.sizes.analysis import trends
from coregpt.report.designs.sizes.pages import render_trend, trend_lines
from coregpt.report.verdicts.exit_codes import INTERRUPTED, UNDECIDED


def ablate_family(studies: list[Study], use: Resources) -> int:
    """All members are declared before the first run of any. Exit codes as for one study."""
    plans = [plan(made, use.nodes) for made in outlines(studies)]
    for made in plans:
        refuse_in_vain(made, use)
        chain.refuse(made.study, made.source.digest, use.store)
        refuse_folder(made.study, use)
    with gone_if_refused(use.store, *(use.reports / study.name for study in studies)):
        for made in plans:
            ready(use.store, made, use.reports / made.study.name)
    for made in plans:
        register(made, use.store)
    codes = []
    for made in plans:
        say(f"size {made.study.member}")
        codes.append(run_study(made, use))
        if codes[-1] in (INTERRUPTED, UNDECIDED):
            return codes[-1]
        say()
    each = [read_report(use.reports / study.name / "report.json") for study in studies]
    found = trends(studies[0].family, [study.member for study in studies], each)
    folder = writable_folder(use.reports / studies[0].family)
    files = render_trend(found)
    for name, text in files.items():
        write_text(folder / name, text)
    for line in (found.question, *trend_lines(found), "", *(f"  {folder / name}" for name in files)):
        say(line)
    return max(codes)
