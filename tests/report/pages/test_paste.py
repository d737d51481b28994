"""What is pasted elsewhere says what the report says, and survives the place where it is pasted."""

import re

from coregpt.report.pages.paste import latex, latex_table, paste_section, sentence
from coregpt.report.pages.render import render
from tests.report.studies import report
from tests.report.verdicts.test_compare import base, shifted


def test_a_sentence_stands_alone() -> None:
    made = report({"gpt": base(), "ngpt": shifted(0.03)})
    (c,) = made.comparisons
    said = sentence(made, c)
    assert said.startswith("ngpt against gpt (val_loss), better: gain +0.0298")
    for part in ("nats per byte, 95% interval +0.0", "adjusted p < 0.0001, 6 seeds", "1 k parameters, 8 k tokens"):
        assert part in said
    assert said.endswith("CoreGPT study toy dddddddddddd.")
    assert "\n" not in said


def test_diverged_runs_and_missing_numbers_are_said_and_not_filled_in() -> None:
    made = report({"gpt": base(), "odd": [None, *shifted(0.0)[1:]], "lost": [None] * 6})
    odd, lost = (sentence(made, c) for c in made.comparisons)
    assert "5/6 seeds" in odd
    assert "no interval" in lost
    assert "no gain could be had" in lost
    assert "0/6 seeds" in lost


def test_an_exploratory_study_says_so_wherever_it_is_pasted() -> None:
    made = report({"gpt": base(), "ngpt": shifted(0.03)}, exploratory="amended")
    assert "exploratory: better" in sentence(made, made.comparisons[0])
    assert "exploratory" in latex_table(made)


def test_every_character_that_latex_obeys_is_escaped() -> None:
    assert latex(r"a_b & 5% $x #1 {y} ~ ^ \z") == (
        r"a\_b \& 5\% \$x \#1 \{y\} \textasciitilde{} \textasciicircum{} \textbackslash{}z"
    )
    assert latex("\u22120.01 < 0.0001 \u2013") == "$-$0.01 $<$ 0.0001 --"


def test_latex_rows_have_as_many_cells_as_the_table_has_columns() -> None:
    text = latex_table(report({"gpt": base(), "a_b": shifted(0.03), "c&d": shifted(-0.02)}))
    columns = re.search(r"tabular}{(\w+)}", text)
    assert columns is not None
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 3
    assert all(len(re.split(r"(?<!\\)&", row)) == len(columns.group(1)) for row in rows)
    assert re.findall(r"\\(\w+rule)", text) == ["toprule", "midrule", "bottomrule"]
    assert text.isascii()


def test_both_pages_have_it_and_the_markdown_rows_of_both_are_equal() -> None:
    made = report({"gpt": base(), "ngpt": shifted(0.03)})
    files = render(made)
    fenced = re.search(r"```markdown\n(.*?)\n```", files["report.md"], re.S)
    assert fenced is not None
    assert f">{fenced.group(1)}</pre>" in files["report.html"].replace("&amp;lt;", "&lt;").replace("&gt;", ">")
    assert files["report.html"].count('<pre class="paste" tabindex="0"') == 3
    assert all(part in files["report.md"] for part in paste_section(made).as_markdown())
