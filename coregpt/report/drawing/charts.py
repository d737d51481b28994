"""Forest plot of gains and per-seed paired dots, as SVG text."""

import math
from collections.abc import Sequence

from coregpt.report.drawing.numbers import decimals, short, signed, span
from coregpt.report.drawing.svg import Scale, element, line, padded, text, tick_labels
from coregpt.report.drawing.units import told_in
from coregpt.report.drawing.words import rated, verdict_words
from coregpt.report.facts.model import Comparison, Report, RunResult

SYMBOLS = {
    "better": "▲",
    "worse": "▼",
    "equivalent": "=",
    "screened": "→",
    "candidate": "→",
    "no sign": "?",
    "inconclusive": "?",
    "unstable": "!",
    "invalid": "×",
    "pilot": "○",
}

_WIDTH = 640.0
_ROW = 62.0


def figure(content: str, width: float, height: float, label: str) -> str:
    """An accessible inline picture that scales with the page."""
    return element("svg", content, viewBox=f"0 0 {width:g} {height:g}", role="img", aria_label=label)


def forest(report: Report) -> str:
    """One row per arm: gain, 95% interval (thick), interval for all arms together (thin), margin band."""
    study = report.study
    digits = decimals(study, report.comparisons)
    reach = [0.0, -study.margin, study.margin]
    for c in report.comparisons:
        reach += [c.gain or 0.0, *(c.interval or ()), *(c.test_interval or ())]
    x = Scale(*padded(min(reach), max(reach), 0.04), 18, _WIDTH - 18)
    bottom = 14 + _ROW * len(report.comparisons)
    parts = [
        element(
            "rect",
            x=x(-study.margin),
            y=8,
            width=x(study.margin) - x(-study.margin),
            height=bottom - 8,
            class_="margin",
        )
    ]
    for index, c in enumerate(report.comparisons):
        parts.append(_forest_row(report, c, index, x, digits))
    parts.append(line(x.start, bottom, x.stop, bottom, "axis"))
    ticks = x.ticks(5)
    for tick, label in zip(ticks, tick_labels(ticks), strict=True):
        parts += [
            line(x(tick), bottom, x(tick), bottom + 5, "axis"),
            text(x(tick), bottom + 25, label, "tick", "middle"),
        ]
    parts.append(text(x.start, bottom + 52, f"← {study.baseline} better", "label"))
    parts.append(text(x.stop, bottom + 52, "arm better →", "label", "end"))
    at = {words for c in report.comparisons if (words := rated(study, c))}
    parts += [text(_WIDTH / 2, bottom + 78, f"compared {', '.join(sorted(at))}", "label", "middle")] if at else []
    over = told_in(f"Gain of each arm over {study.baseline}", study.unit)
    label = f"{over}, with intervals and the margin of {study.margin:g}"
    return figure("".join(parts), _WIDTH, bottom + (88 if at else 62), label)


def shows_one_interval(report: Report) -> bool:
    """Whether the interval for all arms together is the plain 95% one, because there is one arm and alpha is 0.05."""
    return len(report.comparisons) == 1 and report.study.alpha == 0.05


def _forest_row(report: Report, c: Comparison, index: int, x: Scale, digits: int) -> str:
    top = 14 + _ROW * index
    y = top + 42
    single = shows_one_interval(report)
    series = f"s{[arm.name for arm in report.study.arms].index(c.arm)}"
    numbers = signed(c.gain, digits) + (f"  ({span(c.interval, digits)})" if c.interval else "")
    parts = [
        line(x(0), top + 28, x(0), top + _ROW - 7, "zero"),  # beside the interval, not through the words above it
        text(
            x.start, top + 20, f"{short(c.arm, 20 if c.little else 30)} {SYMBOLS[c.verdict]} {verdict_words(c)}", "row"
        ),
        text(x.stop, top + 20, numbers if c.interval else f"{numbers} no interval", "value", "end"),
    ]
    if c.test_interval and c.interval and not single:
        low, high = (x(v) for v in c.test_interval)
        parts += [
            line(low, y, high, y, "whisker"),
            line(low, y - 5, low, y + 5, "whisker"),
            line(high, y - 5, high, y + 5, "whisker"),
        ]
    if c.interval:
        parts.append(line(x(c.interval[0]), y, x(c.interval[1]), y, "bar"))
    if c.gain is not None:
        parts.append(element("circle", cx=x(c.gain), cy=y, r=6, class_="dot" if c.interval else "dot hollow"))
    return element("g", "".join(parts), class_=series)


def paired_dots(report: Report) -> list[tuple[str, str]]:
    """(arm, picture) for every arm: each seed's baseline and arm result joined by a line, on one common scale."""
    study = report.study
    if not study.paired:
        return []
    finite = [run.value for run in report.runs if run.status == "finished" and run.value is not None]
    if not finite:
        return []
    diverged = any(run.status == "diverged" for run in report.runs)
    y = Scale(*padded(min(finite), max(finite), 0.06), 228, 46 if diverged else 14)
    by_arm = {arm.name: [run for run in report.runs if run.arm == arm.name] for arm in study.arms}
    pictures = []
    for index, arm in enumerate(study.arms):
        if arm.name in study.treatments:
            drawing = _pairs(by_arm[study.baseline], by_arm[arm.name], index, y)
            label = f"{study.metric} of {study.baseline} and {arm.name}, one line per seed"
            pictures.append((arm.name, figure(drawing, 300, 280, label)))
    return pictures


def _pairs(baseline: Sequence[RunResult], arm: Sequence[RunResult], index: int, y: Scale) -> str:
    left, right = 105.0, 228.0
    parts = []
    ticks = y.ticks(4)
    for tick, label in zip(ticks, tick_labels(ticks), strict=True):
        parts += [line(72, y(tick), 288, y(tick), "grid"), text(66, y(tick) + 5, label, "tick", "end")]
    for b, a in zip(baseline, arm, strict=True):
        ends = [(left, _height(b, y)), (right, _height(a, y))]
        (x1, y1), (x2, y2) = ends
        if y1 is not None and y2 is not None:
            lost = y2 < y1  # pixels grow downwards, so a smaller y is a larger loss
            parts.append(line(x1, y1, x2, y2, "pair lost" if lost else f"pair s{index}"))
        for run, (px, py), series in ((b, ends[0], "base"), (a, ends[1], f"s{index}")):
            if py is not None:
                parts.append(_mark(run, px, py, series))
    parts += [
        text(left, 258, short(baseline[0].arm), "tick", "middle"),
        text(right, 258, short(arm[0].arm), "tick", "middle"),
    ]
    if any(run.status == "diverged" for run in (*baseline, *arm)):
        parts.append(text(166, 20, "× diverged", "tick", "middle"))
    return "".join(parts)


def _height(run: RunResult, y: Scale) -> float | None:
    if run.status == "diverged":
        return 30.0
    return y(run.value) if run.status == "finished" and run.value is not None and math.isfinite(run.value) else None


def _mark(run: RunResult, x: float, y: float, series: str) -> str:
    if run.status == "diverged":
        return text(x, y + 6, "×", f"cross {series}", "middle")
    return element("circle", cx=x, cy=y, r=5, class_=f"dot {series}")
