"""The result to paste elsewhere: a sentence for each arm, and the rows as Markdown and as LaTeX (booktabs)."""

from html import escape

from coregpt.report.drawing.markup import Code, Items, Section, paragraph, table_markdown
from coregpt.report.drawing.numbers import decimals, p_phrase, p_value, plural, si, signed, span
from coregpt.report.drawing.tables import Table
from coregpt.report.drawing.units import with_unit
from coregpt.report.drawing.words import full_words, rated, verdict_words
from coregpt.report.facts.model import Comparison, Report
from coregpt.report.verdicts.confounded import in_a_row

TITLE = "To paste"
_READING = "Text to copy. The digest names the study, so that whoever reads it can ask for the report."
_LATEX_READING = "LaTeX needs the package booktabs."
_DIGEST_LENGTH = 12

_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
        "<": "$<$",
        ">": "$>$",
        "\u2212": "$-$",
        "\u2013": "--",
        "±": r"$\pm$",
        "×": r"$\times$",
        "∞": r"$\infty$",
        "\n": " ",
    }
)

COPY_SCRIPT = (
    'document.querySelectorAll("pre.paste").forEach(p=>{const b=document.createElement("button");b.type="button";'
    'b.textContent="Copy";b.setAttribute("aria-label","Copy "+p.getAttribute("aria-label"));'
    "b.onclick=()=>{getSelection().selectAllChildren(p);"
    'const said=w=>{b.textContent=w;setTimeout(()=>b.textContent="Copy",2500)},no=()=>said("Selected");'
    'navigator.clipboard?navigator.clipboard.writeText(p.textContent).then(()=>said("Copied"),no):no()};'
    "p.before(b)})"
)
"""Adds a button to each block. The page is whole without it: text can be selected, and nothing waits for a script."""


def paste_section(report: Report) -> Section:
    """Sentences, Markdown rows and LaTeX rows; on the HTML page each in a block of its own."""
    said = [sentence(report, c) for c in report.comparisons]
    rows, latex = table_markdown(table(report)), latex_table(report)
    html = (
        paragraph(f"{_READING} {_LATEX_READING}")
        + _block("sentences", "\n".join(said))
        + _block("Markdown table", rows)
        + _block("LaTeX table", latex)
    )
    blocks = (Code(rows, "markdown"), _LATEX_READING, Code(latex, "latex"))
    return Section(TITLE, (_READING, Items(said), *blocks), html)


def sentence(report: Report, c: Comparison) -> str:
    """Arm, gain with its unit, 95% interval, adjusted p, seeds, size, tokens, study: in one line."""
    study, digits = report.study, decimals(report.study, report.comparisons)
    gain = "no gain could be had" if c.gain is None else f"gain {with_unit(signed(c.gain, digits), study.unit)}"
    if c.gain is not None and c.gain_condition:
        gain += f" ({c.gain_condition})"
    interval = f"95% interval {span(c.interval, digits)}" if c.interval else "no interval"
    tested = "no test" if c.p_adjusted is None else f"adjusted {p_phrase(c.p_adjusted)}"
    arm = next(facts for facts in study.arms if facts.name == c.arm)
    known = [f"{si(arm.parameters)} parameters"] if arm.parameters is not None else []
    known.append(plural(arm.steps, "step") if arm.tokens is None else f"{si(arm.tokens)} tokens")
    words = ", ".join(filter(None, [full_words(study, c), in_a_row(study, c)]))
    return (
        f"{c.arm} against {study.baseline} ({study.metric}), {words}: {gain}, {interval}, {tested}, "
        f"{_seeds(report, c.arm)} seeds{_own_settings(report)}, {', '.join(known)}; "
        f"CoreGPT study {study.name} {study.digest[:_DIGEST_LENGTH]}."
    )


def table(report: Report) -> Table:
    """One row per comparison."""
    study, digits = report.study, decimals(report.study, report.comparisons)
    rows = [
        (
            c.arm,
            _seeds(report, c.arm),
            signed(c.gain, digits) + ("*" if c.gain_condition else ""),
            span(c.interval, digits),
            p_value(c.p_adjusted),
            ", ".join(filter(None, [verdict_words(c), rated(study, c), in_a_row(study, c)])),
        )
        for c in report.comparisons
    ]
    metric = ", ".join(filter(None, [study.metric, study.unit]))
    title = f"Gain over {study.baseline} in {metric}; CoreGPT study {study.digest[:_DIGEST_LENGTH]}"
    title += _own_settings(report).replace(",", ";") + ("; exploratory" if study.exploratory else "")
    title += "; * over finished runs only" if any(c.gain_condition for c in report.comparisons) else ""
    return Table(title, ("arm", "seeds", "gain", "95% interval", "p adjusted", "verdict"), rows)


def latex_table(report: Report) -> str:
    """The same as a booktabs tabular with its title as a comment."""
    made = table(report)
    lines = [
        f"% {' '.join(made.title.split())}",
        r"\begin{tabular}{l" + "r" * (len(made.head) - 2) + "l}",
        r"\toprule",
        _latex_row(made.head),
        r"\midrule",
        *map(_latex_row, made.rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines)


def latex(words: str) -> str:
    """Plain text that LaTeX shows as it is."""
    return words.translate(_LATEX)


def _latex_row(cells: tuple[str, ...]) -> str:
    return " & ".join(map(latex, cells)) + r" \\"


def _own_settings(report: Report) -> str:
    """What a reader of a number must know of how its arms were set."""
    found = report.study.bracket
    return "" if found is None else f", each arm at its own bracketed {found.setting}"


def _seeds(report: Report, arm: str) -> str:
    """'6', or '5/6' where not every planned run finished."""
    planned = len(report.study.planned(arm))
    finished = next(summary.finished for summary in report.arms if summary.arm == arm)
    return str(planned) if finished == planned else f"{finished}/{planned}"


def _block(name: str, words: str) -> str:
    return f'<pre class="paste" tabindex="0" role="region" aria-label="{name}">{escape(words, quote=False)}</pre>'
