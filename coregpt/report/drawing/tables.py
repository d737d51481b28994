"""Every table of the report once, as header and rows of text; the pages only decide how to draw them."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from coregpt.report.drawing.curve_charts import ArmCurves
from coregpt.report.drawing.curves import thin
from coregpt.report.drawing.numbers import (
    DASH,
    decimals,
    duration,
    fixed,
    known,
    p_value,
    relative,
    si,
    signed,
    span,
)
from coregpt.report.drawing.units import told_in
from coregpt.report.drawing.words import verdict_words
from coregpt.report.facts.inputs import BITS, Confound, Reason
from coregpt.report.facts.model import Report


@dataclass(frozen=True)
class Table:
    """A table of plain text. `words` asks for left-aligned, wrapping cells; `bad` lists rows to mark."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    words: bool = False
    bad: frozenset[int] = frozenset()


_BITS = "bits per byte"
PER_TOKEN = "time per token"
_RESULT_COLUMNS = (
    "arm",
    "seeds",
    "mean",
    _BITS,
    "sd",
    "gain",
    "95% interval",
    "p adjusted",
    "p sign-flip",
    "Hedges g",
    "detectable",
    "verdict",
)


def results(report: Report) -> Table:
    """The numbers behind each verdict."""
    digits = decimals(report.study, report.comparisons)
    by_arm = {c.arm: c for c in report.comparisons}
    data, rows = report.study.data, []
    shown = bool(data.eval_bytes) and report.study.metric != BITS
    for arm in report.arms:
        c = by_arm.get(arm.arm)
        mean = fixed(arm.mean, digits) + ("*" if arm.conditional else "")
        bits = (fixed(data.bits_per_byte(arm.mean), 4),) if shown else ()
        row = (arm.arm, f"{arm.finished}/{len(report.study.planned(arm.arm))}", mean, *bits, fixed(arm.sd, digits))
        if c is None:
            rows.append((*row, *[DASH] * 6, report.study.aside.get(arm.arm, "baseline")))
            continue
        flip = p_value(c.p_sign_flip)
        effect = signed(c.effect_size, 2)
        found = fixed(c.smallest_detectable, digits)
        gain = signed(c.gain, digits) + ("*" if c.gain_condition else "")
        rows.append(
            (
                *row,
                gain,
                span(c.interval, digits),
                p_value(c.p_adjusted),
                flip,
                effect,
                found,
                verdict_words(c),
            )
        )
    return Table(
        f"{told_in(report.study.metric, report.study.unit)}; gain = baseline minus arm, positive is better",
        _result_columns(shown),
        rows,
    )


def _result_columns(bits: bool) -> tuple[str, ...]:
    return tuple(each for each in _RESULT_COLUMNS if bits or each != _BITS)


def results_note(report: Report) -> str:
    """What the columns of `results` mean."""
    text = (
        f"p adjusted decides (below {report.study.alpha:g}). Hedges g is the gain in seed standard deviations. "
        f"Detectable is the true difference this study would have found with {report.study.power:.0%} probability."
    )
    if len(report.comparisons) > 1:
        text += " Each interval is of one arm alone; p adjusted is corrected for all arms."
    if any(arm.conditional for arm in report.arms):
        text += " * over the runs that finished, so conditional on finishing."
    if any(c.allowance for c in report.comparisons):
        text += " Intervals, p adjusted and detectable allow for tuning; sd, p sign-flip and Hedges g do not."
    return text


def checks(report: Report) -> Table:
    """Second opinions and what pairing bought, per arm."""
    rows = []
    for c in report.comparisons:
        r = fixed(c.seed_correlation, 2)
        if c.seed_correlation_interval:
            r += f" ({span(c.seed_correlation_interval, 2).replace('+', '')})"
        worth = f"{c.pairing_worth:.1f} unpaired seeds" if c.pairing_worth else DASH
        digits = decimals(report.study, report.comparisons)
        rows.append(
            (
                c.arm,
                c.test or "no test",
                p_value(c.p),
                p_value(c.p_separate),
                p_value(c.p_welch),
                p_value(c.p_equivalence),
                span(c.test_interval, digits),
                r,
                worth,
            )
        )
    level = f"{100 * (1 - report.study.alpha):g}% interval, all arms"
    head = (
        "arm",
        "test",
        "p alone",
        "p separate",
        "p unpaired",
        "p equivalence",
        level,
        "seed correlation",
        "one pair is worth",
    )
    return Table("Second opinions; none of these changes a verdict by being smaller", head, rows)


def costs(report: Report) -> Table:
    """Size counted before training and speed measured during it."""
    base = next(arm for arm in report.study.arms if arm.name == report.study.baseline)
    rows = []
    for arm, timing in zip(report.study.arms, report.timing.arms, strict=True):
        ratio = DASH if timing.time_ratio is None else f"×{timing.time_ratio:.3f}"
        if timing.time_ratio_interval and arm.name != base.name:
            ratio += " ({:.3f} to {:.3f})".format(*timing.time_ratio_interval)
        rows.append(
            (
                arm.name,
                f"{known(arm.parameters)}{_change(arm.parameters, base.parameters)}",
                "unknown"
                if arm.flops_per_token is None
                else f"{si(arm.flops_per_token)}{_change(arm.flops_per_token, base.flops_per_token)}",
                known(arm.tokens),
                f"{arm.steps:,}",
                si(timing.tokens_per_second),
                ratio,
                duration(timing.train_seconds),
                si(timing.peak_memory_bytes, "B"),
            )
        )
    head = (
        "arm",
        "parameters",
        "FLOPs/token",
        "tokens",
        "steps",
        "tokens/s",
        PER_TOKEN,
        "training",
        "peak memory",
    )
    if report.study.program is None:
        return Table("Counted before training; speed and memory measured", head, rows)
    told = [i for i in range(len(head)) if {row[i] for row in rows} - {"unknown", DASH}]
    cells = [tuple(row[i] for i in told) for row in rows]
    return Table("As the program reports it; time and memory measured here", tuple(head[i] for i in told), cells)


def _change(value: float | None, base: float | None) -> str:
    return "" if value == base or value is None or base is None else f" ({relative(value, base)})"


def runs(report: Report) -> Table:
    """Every planned run, whatever became of it."""
    digits = max(4, decimals(report.study, report.comparisons))
    rows = [
        (r.arm, str(r.seed), fixed(r.value, digits), r.status, r.reason or DASH, r.run_id or DASH) for r in report.runs
    ]
    bad = frozenset(i for i, run in enumerate(report.runs) if run.status in ("diverged", "failed", "missing"))
    return Table(
        "Every planned run", ("arm", "seed", report.study.metric, "status", "reason", "run"), rows, words=True, bad=bad
    )


def other_runs(report: Report) -> Table:
    """Every run that was started for the study and is not analysed."""
    digits = max(4, decimals(report.study, report.comparisons))
    rows = [(r.arm, str(r.seed), fixed(r.value, digits), r.status, r.reason, r.run_id) for r in report.study.other_runs]
    head = ("arm", "seed", report.study.metric, "status", "why it is left out", "run")
    return Table("Runs started and left out", head, rows, words=True)


def arms(report: Report) -> Table:
    """What each arm is."""
    rows = []
    for arm in report.study.arms:
        plugins = ", ".join(
            name + (" " + json.dumps(options, sort_keys=True, ensure_ascii=False) if options else "")
            for name, options in arm.plugins.items()
        )
        rows.append((arm.name, arm.description or DASH, plugins or ("unknown" if report.study.imported else "none")))
    return Table("What each arm changes", ("arm", "change", "plugins"), rows, words=True)


def confounds(report: Report) -> Table:
    """What differs between arms beyond techniques as a whole, and what it counts as."""
    names = [arm.name for arm in report.study.arms]
    moved = report.study.bracket.moved if report.study.bracket else frozenset()
    rows = [
        (item.setting, *(item.values.get(name, DASH) for name in names), _counts_as(item, moved))
        for item in report.study.confounds
    ]
    if seconds := report.timing.unequal_seconds:
        rows.append(("training time (median)", *(duration(seconds.get(name)) for name in names), REASONS["rest"]))
    if slow := report.slower_than_flops:
        shares = (f"{slow[name]:.3g} times" if name in slow else DASH for name in names)
        rows.append(("time per token, against what its FLOPs explain", *shares, "more than its FLOPs explain"))
    return Table("What else differs between arms", ("setting", *names, "counts as"), rows, words=True)


REASONS: dict[Reason, str] = {
    "technique": "the technique",
    "prescribed": "prescribed by it",
    "tuned": "tuned",
    "matched": "matched",
    "rest": "confound",
}


def _counts_as(item: Confound, moved: Collection[str]) -> str:
    """One word, or one for each arm where they differ; what a bracket of an older report moved was tuned."""
    if item.why is None:
        return REASONS["tuned" if item.setting in moved else "rest"]
    if len(set(item.why.values())) == 1:
        return REASONS[next(iter(item.why.values()))]
    return "; ".join(f"{arm}: {REASONS[reason]}" for arm, reason in item.why.items())


def data(report: Report) -> Table:
    """The data and how it was split."""
    facts, program = report.study.data, report.study.program
    if program is not None:
        digest = [("sha256", facts.sha256)] if program.inputs else []
        rows = [("data", facts.name), *digest, ("split", facts.split_rule)]
        return Table("Data", ("fact", "value"), rows, words=True)
    rows = [
        ("data", facts.name),
        ("sha256", facts.sha256),
        ("training tokens", known(facts.train_tokens)),
        *([("tokens to choose by (select)", known(facts.select_tokens))] if facts.select_tokens is not None else []),
        ("validation tokens" + (" (held_out)" if facts.select_tokens is not None else ""), known(facts.val_tokens)),
        *([("passes over the training tokens", f"{often:.2g}")] if (often := report.study.passes) else []),
        ("evaluated tokens", known(facts.eval_tokens) + (" of each" if facts.select_tokens is not None else "")),
        *([("bytes of text that these are", known(facts.eval_bytes))] if facts.eval_bytes is not None else []),
        ("split", facts.split_rule),
    ]
    return Table("Data", ("fact", "value"), rows, words=True)


def environment(report: Report) -> Table:
    """Versions and device."""
    return Table("Environment", ("what", "value"), sorted(report.study.environment.values.items()), words=True)


def checkpoints(report: Report, curves: list[ArmCurves]) -> Table:
    """Mean learning curves at about ten steps, for readers who cannot use the picture."""
    digits = decimals(report.study, report.comparisons)
    drawn = [(arm.arm, arm.band) for arm in curves if arm.band is not None]
    values = [dict(zip(band.x["steps"].tolist(), band.middle.tolist(), strict=True)) for _, band in drawn]
    steps = sorted({step for column in values for step in column})
    rows = [
        (f"{steps[i]:,.0f}", *(fixed(column.get(steps[i]), digits) for column in values)) for i in thin(len(steps), 11)
    ]
    return Table(f"Mean {report.study.curve_metric} of finished seeds", ("step", *(name for name, _ in drawn)), rows)


def seed_pairs(report: Report) -> Table:
    """Final values by seed, one column per arm."""
    digits = max(4, decimals(report.study, report.comparisons))
    cells = {(r.arm, r.seed): fixed(r.value, digits) if r.status == "finished" else r.status for r in report.runs}
    names = [arm.name for arm in report.study.arms]
    rows = [(str(seed), *(cells.get((name, seed), DASH) for name in names)) for seed in report.study.seeds]
    return Table(f"Final {report.study.metric} by seed", ("seed", *names), rows)
