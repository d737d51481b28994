"""Pieces of pages in both media."""

import re

import pytest

from coregpt.report.drawing.markup import Code, Folded, Items, Labelled, Section, fenced, line_markdown, table_html
from coregpt.report.drawing.tables import Table


@pytest.mark.parametrize(
    ("inside", "fence"), [("x", "```"), ("a ` b", "```"), ("```", "````"), ("a ````` b", "``````")]
)
def test_a_fence_is_longer_than_any_run_of_ticks_inside(inside: str, fence: str) -> None:
    assert fenced(inside, "latex") == f"{fence}latex\n{inside}\n{fence}"


def test_plain_words_are_one_line_that_starts_nothing() -> None:
    assert line_markdown("a\n b <c> *d* `e` \\*") == r"a b &lt;c> \*d\* \`e\` \\\*"


def test_every_block_is_drawn_in_both_media() -> None:
    table = Table("T", ("a", "b"), [("1|2", "3")])
    blocks = (Items(("one", "two")), table, Code("x < y"), Labelled("digest", ("ab", "cd")), Folded("more", ("words",)))
    made = Section("S", blocks)
    assert made.as_markdown() == [
        "## S",
        "- one\n- two",
        "T:\n\n| a | b |\n| --- | ---: |\n| 1\\|2 | 3 |",
        "```\nx < y\n```",
        "digest `ab`, `cd`",
        "### more",
        "words",
    ]
    html = made.as_html()
    for part in (
        "<section><h2>S</h2>",
        "<li>one</li><li>two</li>",
        "<td>3</td>",
        "<pre><code>x &lt; y</code></pre>",
        "<code>ab</code>, <code>cd</code>",
        "<details><summary>more</summary>",
    ):
        assert part in html


def test_a_section_without_content_is_on_the_html_page_only() -> None:
    made = Section("Chart", html="<svg/>")
    assert made.as_markdown() == []
    assert made.as_html() == "<section><h2>Chart</h2><svg/></section>"
    assert Section("Chart", html="<svg/>", markdown="![x](y)").as_markdown() == ["![x](y)"]


def test_numbers_and_single_words_of_a_table_of_words_are_not_broken() -> None:
    rows = [
        ("a b", "+0.196 (+0.171 to +0.220)", "< 0.0001", "3/6", "d99a273f2779", "not shown", "softcap {}"),
        ("c", "–", "", "6/6", "", "lowers the loss", "none"),
    ]
    html = table_html(Table("T", ("what", "gain", "p", "seeds", "run", "said", "plugins"), rows, words=True))
    short = re.findall(r'<th scope="col" class="short">(\w+)</th>', html)
    assert short == ["gain", "p", "seeds", "run"]
    assert html.count('<td class="short">') == 8
    assert 'class="short"' not in table_html(Table("T", ("what", "p"), [("a", "0.1")]))
