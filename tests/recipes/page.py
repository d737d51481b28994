"""docs/recipes.md: what of every recipe agrees with its source, what differs and why, what was not checked.

`python -m tests.recipes.page` writes it; a minute of one core.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.recipes.built import FOLDER, Recipe
from tests.recipes.rules import Answer
from tests.recipes.verdicts import RECIPES, Verdict, verdicts

PAGE = Path(__file__).parent.parent.parent / "docs" / "recipes.md"
BEGIN = """# Recipes of others

Reference systems as study files, in `ablations/recipes`. The arm `all` is the recipe, other arms leave one part out.
The scale `laptop` runs anywhere in minutes and is the recipe's shape at a toy's size; others have the source's sizes.
`plan` also says what of a source is work on speed, which changes no number and is not here:

    coregpt plan ablations/recipes/optimization_baseline.yaml --scale full

Every fact of [`tests/recipes/facts.csv`](../tests/recipes/facts.csv) about a source was counted by building its
authors' code, read in that code, or stated by them. This page is made by comparing each with what is built here
(`python -m tests.recipes.page`), and a test keeps it true. Nothing was trained at full size: no result of a source is
claimed to be repeated.
"""


def table() -> Iterator[str]:
    yield "| recipe | scale | facts | agree | differ | not checked | results |"
    yield "|---|---|---|---|---|---|---|"
    for name, (file, scale) in RECIPES.items():
        found = Counter(verdict.word for verdict in verdicts(name))
        counts = " | ".join(str(found[word]) for word in ("agrees", "differs", "not checked", "result"))
        yield f"| [`{file}`](../ablations/recipes/{file}.yaml) | `{scale}` | `{name}` | {counts} |"


def section(name: str) -> list[str]:
    """The differences and what was left unchecked of one recipe."""
    file, scale = RECIPES[name]
    found = verdicts(name)
    assert not [verdict for verdict in found if verdict.word == "wrong"]
    return [f"## {file}, {scale}", "", f"Facts: `{name}`.", "", *systems(name), *differing(found), *unchecked(found)]


def systems(name: str) -> Iterator[str]:
    """What the file says of the source's work on speed."""
    told = Recipe(*RECIPES[name]).study.systems
    if told:
        yield from (f"Work on speed that changes no number, and is not here: {'; '.join(told)}.", "")


def differing(found: list[Verdict]) -> Iterator[str]:
    rows = [verdict for verdict in found if verdict.word == "differs"]
    if not rows:
        yield from ("Nothing is known to differ.", "")
        return
    yield from ("| differs | there | here | why |", "|---|---|---|---|")
    for verdict in rows:
        yield f"| {verdict.fact.item} | {cell(verdict.fact.value)} | {ours(verdict.ours)} | {verdict.why} |"
    yield ""


def ours(answer: Answer | None) -> str:
    """Numbers alone: that words do not hold is said by the row."""
    if answer is None or isinstance(answer, bool):
        return ""
    return ", ".join(f"{each:,.15g}" for each in (answer if isinstance(answer, tuple) else (answer,)))


def unchecked(found: list[Verdict]) -> Iterator[str]:
    rows = [f"{verdict.fact.item} ({cell(verdict.fact.value)})" for verdict in found if verdict.word == "not checked"]
    if rows:
        yield from (f"Not checked: {'; '.join(rows)}.", "")


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def others() -> Iterator[str]:
    """Recipes that are known and not here."""
    from tests.recipes.facts import recipes

    missing = [name for name in recipes() if name not in RECIPES]
    yield from (
        "## Not here yet",
        "",
        f"Known, and no file of this repository: {', '.join(f'`{m}`' for m in missing)}.",
    )


def page() -> str:
    sections = [line for name in RECIPES for line in section(name)]
    return "\n".join([BEGIN, *table(), "", *sections, *others(), ""])


if __name__ == "__main__":
    assert {file for file, _ in RECIPES.values()} == {path.stem for path in FOLDER.glob("*.yaml")}
    PAGE.write_text(page(), encoding="utf-8")
