"""Numbers as people read them: enough digits to see the uncertainty, no more, and a true minus sign."""

import math

from coregpt.report.facts.inputs import StudyFacts
from coregpt.report.facts.model import Comparison

MINUS = "\u2212"
DASH = "\u2013"


def decimals(study: StudyFacts, comparisons: tuple[Comparison, ...]) -> int:
    """Decimals that show two digits of the smallest standard error (or of the margin), between 3 and 6."""
    scales = [c.se for c in comparisons if c.se] + [study.margin]
    return min(6, max(3, 1 - math.floor(math.log10(min(scales)))))


def fixed(value: float | None, digits: int) -> str:
    """A number with `digits` decimals, or a dash where there is none."""
    if value is None or math.isnan(value):
        return DASH
    if math.isinf(value):
        return "∞" if value > 0 else MINUS + "∞"
    text = f"{value:,.{digits}f}"
    return text.replace("-", MINUS) if float(text.replace(",", "")) else text.lstrip("-")


def signed(value: float | None, digits: int) -> str:
    """Like `fixed`, with a plus sign in front of positive numbers."""
    text = fixed(value, digits)
    return text if text == DASH or text.startswith(MINUS) or not any(c in "123456789∞" for c in text) else "+" + text


def span(pair: tuple[float, float] | None, digits: int) -> str:
    """An interval as '+0.001 to +0.004', or a dash."""
    return DASH if pair is None else f"{signed(pair[0], digits)} to {signed(pair[1], digits)}"


def known(value: float | None) -> str:
    """A count in full, or 'unknown'."""
    return "unknown" if value is None else f"{value:,}"


def p_value(p: float | None) -> str:
    """A p-value with two significant digits; tiny ones as a bound."""
    if p is None:
        return DASH
    if p < 0.0001:
        return "< 0.0001"
    return f"{p:.4f}" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def p_phrase(p: float | None) -> str:
    """'p = 0.012' or 'p < 0.0001'."""
    text = p_value(p)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def si(value: float | None, unit: str = "") -> str:
    """Three significant digits with a metric prefix: 1.23 M."""
    if value is None or not math.isfinite(value):
        return DASH
    for factor, prefix in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * factor:
            return f"{float(f'{value / factor:.3g}'):g} {prefix}{unit}"
    return f"{float(f'{value:.3g}'):g} {unit}".strip()


def relative(value: float | None, base: float | None) -> str:
    """Change against a base: 'same', '+3.1%'."""
    if value is None or not base:
        return DASH
    change = 100 * (value / base - 1)
    if value == base:
        return "same"
    if abs(change) < 0.005:  # as of two more parameters
        return f"{'+' if change > 0 else '−'}<0.01%"
    return signed(change, 1 if abs(change) >= 0.05 else 2) + "%"


def duration(seconds: float | None) -> str:
    """Seconds as '42 s', '3.5 min' or '2.1 h'."""
    if seconds is None:
        return DASH
    if seconds < 90:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def plural(count: int, noun: str) -> str:
    """'1 seed', '2 seeds'."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def listing(items: list[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1] if items else ""


def short(name: str, limit: int = 12) -> str:
    """A name for a narrow place, its end cut off."""
    return name if len(name) <= limit else name[: limit - 1] + "…"
