"""What is said of programs: what may be trusted, and in what their arms differ."""

from coregpt.report.drawing.numbers import decimals, fixed, listing
from coregpt.report.facts.inputs import StudyFacts
from coregpt.report.facts.model import Report
from coregpt.report.facts.program import ProgramArm, ProgramFacts

SAME_CODE = "the same code"
SHORT = 10
"""Digits of a commit."""
MOST = 6
"""Changed packages that are named."""
LOWEST = (
    " What counts of a run is the lowest value that it printed, not the last: that is a choice made on the text that "
    "judges, and favours arms whose values scatter more along a run or are printed more often."
)


def of_arm(program: ProgramFacts, arm: str) -> ProgramArm:
    return next(each for each in program.arms if each.arm == arm)


def differs(study: StudyFacts, arm: str) -> str:
    """In what an arm differs from the baseline, after the sentence on it; begins with a space."""
    if study.program is None or arm not in {each.arm for each in study.program.arms}:
        return ""
    own = of_arm(study.program, arm)
    code = own.stat if own.stat == SAME_CODE else f"code: {own.stat or 'nothing to show'}"
    parts = [code, *([f"settings: {', '.join(own.settings)}"] if own.settings else [])]
    if own.packages:
        parts.append(f"packages: {packages(own)}")
    return f" Against {study.baseline}, {'; '.join(parts)}."


def packages(arm: ProgramArm) -> str:
    more = len(arm.packages) - MOST
    return ", ".join([*arm.packages[:MOST], *([f"{more} more"] if more > 0 else [])])


def trust(study: StudyFacts) -> str:
    """Whose numbers these are."""
    program = study.program
    assert program is not None
    lacking = f" It does not tell {listing(list(program.unreported))}" if program.unreported else ""
    known = " and the inputs named below" if program.inputs else ""
    lacking += ", so arms cannot be compared at equal ones." if lacking else ""
    return (
        f"{study.metric}, steps and whatever else a run says are as reported by the program; wall time, peak "
        f"memory and exit status are measured here.{lacking} What it reads beside its code{known} is its own affair, "
        f"and so is which text it evaluates on.{LOWEST if program.final == 'lowest' else ''}"
    )


def determinism(report: Report) -> str:
    """What equal seeds came to; "" where nothing is known of any run."""
    study = report.study
    program = study.program
    if program is None or not any(arm.finished for arm in report.arms):
        return ""
    if program.repeated is None:
        return (
            f"Whether equal seeds give equal numbers is not known: the first run of {study.baseline} was made for "
            "another study, and once."
        )
    digits = max(4, decimals(study, report.comparisons))
    first, second = (fixed(value, digits) if value is not None else "lost" for value in program.repeated)
    seed = f"{study.baseline}, seed {program.repeated_seed}"
    if program.same:
        return f"Equal seeds give equal numbers: {seed} was made twice and came to {first} both times."
    one, other = program.repeated
    sd = next((arm.sd for arm in report.arms if arm.arm == study.baseline), None)
    noise = ""
    if one is not None and other is not None:
        noise = f" Repetition noise, from this one pair: sd {fixed(abs(one - other) / 2**0.5, digits)}"
        noise += f"; other seeds of {study.baseline} scatter by sd {fixed(sd, digits)}." if sd is not None else "."
    return (
        f"The program is not deterministic: {seed} was made twice and came to {first} and {second}.{noise} The "
        "repetition is no observation of the test; the noise it shows is part of every run's."
    )


def untuned(study: StudyFacts) -> str:
    return (
        "Nothing looked for the best settings of any arm: each is compared as its file, code and defaults have it."
        if study.program
        else ""
    )
