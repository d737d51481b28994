"""Facts about a study and its runs -> Report. Pure: no clock, no files, no randomness."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from coregpt.contract.errors import RunError
from coregpt.report.designs import DESIGNS
from coregpt.report.designs.design import Fields, Known, ReportDesign
from coregpt.report.designs.early import Early
from coregpt.report.drawing.curves import thin
from coregpt.report.facts.gathering import nothing_is_garbage
from coregpt.report.facts.inputs import StudyFacts
from coregpt.report.facts.model import SCHEMA, ArmSummary, Comparison, Report, RunResult, Timing
from coregpt.report.facts.runs import RunFacts, RunTiming
from coregpt.report.verdicts.basis import Basis, basis_of
from coregpt.report.verdicts.compare import Outcomes, compare_all
from coregpt.report.verdicts.confounded import in_headline
from coregpt.report.verdicts.knows import knowing, knows_note, told
from coregpt.report.verdicts.next_step import more_hours
from coregpt.report.verdicts.passes import passes_notes
from coregpt.report.verdicts.pilot import untested
from coregpt.report.verdicts.speed import arm_timings, unequal_seconds
from coregpt.report.verdicts.wording import headline, notes, sentence


@nothing_is_garbage()
def summarise(study: StudyFacts, runs: Sequence[RunFacts]) -> Report:
    """Analyse a study. Planned runs without RunFacts count as missing, never as absent from the plan.

    Raises RunError if a run belongs to no planned arm and seed, if a cell has two runs, or if the ledger has a run
    that the analysis leaves out.
    """
    ordered = _planned_order(study, runs)
    _all_accounted_for(study, ordered)
    basis = _basis(study)
    early = _early(study, basis, ordered)
    known = Known(study, early.runs, Outcomes.of(study, early.counted))
    judged = knowing(study, early.counted, compare_all(study, basis, known.outcomes, early.settled))
    compared = tuple(_worded(study, c) for c in judged)
    more = "".join(design.headline(study, compared) for design in DESIGNS)
    said = {"headline": headline(study, compared) + in_headline(study, compared) + more}
    report = Report(
        schema=SCHEMA,
        study=study,
        design=basis.design,
        planned_detectable=basis.detectable,
        arms=tuple(_arm_summary(arm.name, known.outcomes) for arm in study.arms),
        comparisons=compared,
        notes=(),
        runs=tuple(map(_run_result, known.runs)),
        timing=_timing(known, compared),
        **_merged([said, early.found, *(design.analyse(known) for design in _designs(study))]),
    )
    noted = (
        *(note for design in DESIGNS for note in design.notes(report)),
        *notes(study, report.design, compared, known.outcomes.alike()),
        *passes_notes(study),
        *knows_note(study),
    )
    return report.model_copy(update={"notes": noted})


def _timing(known: Known, compared: Sequence[Comparison]) -> Timing:
    arms = arm_timings(known.study, known.runs)
    return Timing(
        arms=arms,
        runs=tuple(map(_run_timing, known.runs)),
        more_hours=more_hours(known.study, known.runs, compared),
        unequal_seconds=unequal_seconds(known.study, arms),
        **_merged(design.timing(known) for design in _designs(known.study)),
    )


def _merged(found: Iterable[Mapping[str, Any]]) -> Fields:
    return {name: value for fields in found for name, value in fields.items()}


def _worded(study: StudyFacts, c: Comparison) -> Comparison:
    said = sentence(study, c) + "".join(design.remark(study, c) for design in DESIGNS) + told(c)
    return c.model_copy(update={"sentence": said})


def _planned_order(study: StudyFacts, runs: Sequence[RunFacts]) -> list[RunFacts]:
    cells: dict[tuple[str, int], RunFacts] = {}
    names = [arm.name for arm in study.arms]
    for run in runs:
        cell = run.arm, run.seed
        if run.arm not in names or run.seed not in study.planned(run.arm):
            raise RunError(f"run {run.run_id!r} (arm {run.arm!r}, seed {run.seed}) is not part of study {study.name!r}")
        if cell in cells:
            raise RunError(
                f"arm {run.arm!r}, seed {run.seed} has two runs, {cells[cell].run_id!r} and {run.run_id!r}: "
                "equal seeds are one observation, keep one of them"
            )
        cells[cell] = run
    return [cells.get((arm, seed)) or _missing(arm, seed) for arm in names for seed in study.planned(arm)]


def _all_accounted_for(study: StudyFacts, runs: Sequence[RunFacts]) -> None:
    known = {run.run_id for run in runs} | {run.run_id for run in study.other_runs}
    gone = [run for run in study.started if run not in known]
    if gone:
        raise RunError(f"study {study.name!r}: the ledger has runs that the analysis leaves out: {', '.join(gone)}")


def _missing(arm: str, seed: int) -> RunFacts:
    return RunFacts(run_id="", arm=arm, seed=seed, status="missing", reason="this run was never made")


def _designs(study: StudyFacts) -> Iterator[ReportDesign]:
    """Those that a study's analysis asks: a pilot none that judges."""
    return (design for design in DESIGNS if not (study.pilot and design.judges))


def _basis(study: StudyFacts) -> Basis:
    basis = basis_of(study)
    for each in DESIGNS:
        basis = each.basis(study, basis)
    return untested(basis) if study.pilot else basis


def _early(study: StudyFacts, basis: Basis, runs: Sequence[RunFacts]) -> Early:
    decided = (design.decide_early(study, basis, runs) for design in _designs(study))
    return next((early for early in decided if early is not None), Early(runs, runs, {}, {}))


def _arm_summary(arm: str, outcomes: Outcomes) -> ArmSummary:
    values = outcomes.values[arm]
    finished = values[np.isfinite(values)]
    diverged = int(np.isinf(values).sum())
    absent = int(np.isnan(values).sum())
    return ArmSummary(
        arm=arm,
        finished=len(finished),
        diverged=diverged,
        absent=absent,
        mean=float(finished.mean()) if len(finished) else None,
        sd=float(finished.std(ddof=1)) if len(finished) > 1 else None,
        conditional=diverged + absent > 0,
    )


def _run_result(run: RunFacts) -> RunResult:
    status, reason = run.status, run.reason
    if status == "finished" and not np.isfinite(run.value if run.value is not None else np.nan):
        status, reason = "diverged", reason or "the final value is not a finite number"
    return RunResult(
        run_id=run.run_id,
        arm=run.arm,
        seed=run.seed,
        status=status,
        value=run.value,
        reason=reason,
        select=run.select,
        sealed=run.sealed,
        curve=tuple(run.curve[i] for i in thin(len(run.curve))),
    )


def _run_timing(run: RunFacts) -> RunTiming:
    seconds = run.timing.seconds
    return run.timing.model_copy(update={"seconds": tuple(seconds[i] for i in thin(len(seconds)))})
