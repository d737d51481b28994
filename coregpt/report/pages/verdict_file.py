"""A report as `verdict.json`: what a program needs to decide, and nothing else."""

import json
import math
from collections.abc import Iterable
from typing import Literal

from coregpt.report.drawing.numbers import listing
from coregpt.report.facts.inputs import StudyFacts
from coregpt.report.facts.model import Comparison, Report
from coregpt.report.facts.verdict_file import BYTES, VERDICT_SCHEMA, ArmVerdict, Further, Spent, VerdictFile
from coregpt.report.verdicts.confirmed import confirmed, speaks
from coregpt.report.verdicts.exit_codes import BETTER, BROKEN, EQUIVALENT, UNDECIDED, WORDS, WORSE, code_of

LONG, SHORT = 240, 60
"""Letters of a sentence, and of one in a file that would be too long otherwise."""


def verdict_json(report: Report) -> str:
    """Canonical text of at most `BYTES` bytes: equal reports give equal files."""
    made = verdict_of(report)
    arms = len(made.arms)
    for letters in (LONG, SHORT):
        for shown in range(arms, 0, -1):
            fitted = made.model_copy(
                update={
                    "headline": _short(made.headline, letters),
                    "next": _short(made.next, letters),
                    "arms": made.arms[:shown],
                    "arms_left_out": arms - shown,
                }
            )
            text = json.dumps(fitted.model_dump(by_alias=True), ensure_ascii=False, separators=(",", ":")) + "\n"
            if len(text.encode()) <= BYTES:
                return text
    return text  # a study with names of hundreds of letters has a longer file rather than none


def verdict_of(report: Report) -> VerdictFile:
    """The whole of it, however long."""
    study, pilot = report.study, is_pilot(report.study)
    decides = not pilot and not study.exploratory
    code = code_of(_word(study, c) for c in report.comparisons) if decides else UNDECIDED
    return VerdictFile(
        schema=VERDICT_SCHEMA,
        study=study.name,
        digest=study.digest,
        headline=report.headline,
        verdict=None if pilot else WORDS[code],
        exit_code=code,
        exploratory=bool(study.exploratory),
        baseline=study.baseline,
        metric=study.metric,
        unit=study.unit,
        alpha=study.alpha,
        margin=study.margin,
        arms=tuple(_arm(report, c, pilot) for c in report.comparisons),
        cost=_spent(report),
        next=_next(report, code, pilot),
    )


def _word(study: StudyFacts, c: Comparison) -> str:
    """The verdict on an arm; what its chain does not confirm is not better for who decides by it."""
    return "inconclusive" if c.verdict == "better" and _in_chain(study, c) == "not confirmed" else c.verdict


def _in_chain(study: StudyFacts, c: Comparison) -> Literal["confirmed", "not confirmed"] | None:
    if speaks(study) is None:
        return None
    return "confirmed" if confirmed(study, c) else "not confirmed"


def is_pilot(study: StudyFacts) -> bool:
    """Whether its runs were wanted without a verdict."""
    return bool(study.pilot or study.declaration.get("test", {}).get("pilot", False))


def _arm(report: Report, c: Comparison, pilot: bool) -> ArmVerdict:
    further = None
    if c.more_seeds and not pilot:
        further = Further(seeds=c.more_seeds, runs=c.more_runs or 0, hours=report.timing.more_hours.get(c.arm))
    return ArmVerdict(
        arm=c.arm,
        verdict=None if pilot else c.verdict,
        size="" if pilot else c.size,
        gain=_finite(c.gain),
        interval=c.interval if c.interval and all(map(math.isfinite, c.interval)) else None,
        p=None if pilot else _finite(c.p_adjusted),
        further=further,
        in_chain=None if pilot else _in_chain(report.study, c),
    )


def _spent(report: Report) -> Spent:
    states = [run.status for run in report.runs]
    done = [run.arm for run in report.runs if run.status in ("finished", "diverged")]
    facts = {arm.name: (arm.flops_per_token, arm.tokens) for arm in report.study.arms}
    each = [None if None in facts[arm] else facts[arm][0] * facts[arm][1] for arm in done]  # type: ignore[operator]
    return Spent(
        runs=len(states),
        finished=states.count("finished"),
        diverged=states.count("diverged"),
        lost=states.count("failed") + states.count("missing"),
        train_hours=round(math.fsum([*_seconds(report), *report.timing.tuning.values()]) / 3600, 4),
        flops=None if None in each else math.fsum(flops for flops in each if flops is not None),
    )


def _seconds(report: Report) -> Iterable[float]:
    return (timing.train_seconds for timing in report.timing.runs if timing.train_seconds is not None)


def _next(report: Report, code: int, pilot: bool) -> str:
    if pilot:
        return "A pilot has no verdict: declare enough seeds in a new study, without `pilot: true`."
    if report.study.exploratory:
        return "Declare it anew under another name, on seeds that were not used: what was exploratory decides nothing."
    if code == BROKEN:
        return next(c.cause for c in report.comparisons if code_of([c.verdict]) == BROKEN) + "."
    if code == BETTER and report.study.chain is not None and report.study.chain.source:
        return "Confirmed on fresh seeds, at the level that its chain had left: build on it."
    if code == BETTER:
        return "Check it on fresh seeds before building on it: coregpt verify report.json."
    if code == WORSE:
        return "Leave it out, unless a learning rate that suits it better changes the picture: `bracket: {}`."
    if code == EQUIVALENT:
        rest = [c.arm for c in report.comparisons if code_of([c.verdict]) == BETTER]
        more = f" Check {listing(rest)} on fresh seeds: coregpt verify report.json." if rest else ""
        return f"Settled: keep whichever is simpler or cheaper.{more}"
    return _undecided(report)


def _undecided(report: Report) -> str:
    """Seeds added to a study whose result is known would make it exploratory, so a new one is asked for."""
    if candidates := [c.arm for c in report.comparisons if c.verdict == "candidate"]:
        return f"Confirm {listing(candidates)} on fresh seeds: coregpt confirm report.json --arm NAME."
    if report.study.stage == "screen":
        return "No sign of a better arm: try another idea."
    if any(c.verdict == "better" for c in report.comparisons):
        return (
            "Better by this study alone, and not among all that were tried on its baseline: coregpt confirm tests it."
        )
    open_ = [c for c in report.comparisons if code_of([c.verdict]) == UNDECIDED]
    seeds = [c.more_seeds for c in open_ if c.more_seeds]
    if seeds:
        total = len(report.study.seeds) + max(seeds)
        return f"A new study with {total} seeds, none of them used here, would settle the margin; or leave it."
    cause = next((c.cause for c in open_ if c.cause), "")
    return f"{cause}." if cause else "Nothing was decided; see report.md."


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _short(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: letters - 3].rstrip() + "..."
