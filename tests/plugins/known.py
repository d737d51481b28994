"""docs/known_techniques.md: what a technique of somebody's record or paper is called here, or that it is missing.

`python -m tests.plugins.known` writes it from `known.csv`. `id` orders rows: A to H are families of the speedrun's and
its relatives' techniques, N what is newer, I what papers and other models have, P what recipes needed.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from coregpt.lab.study.registry import Catalogue

HERE = Path(__file__).parent
PAGE = HERE.parent.parent / "docs" / "known_techniques.md"
KINDS = {
    "technique": "",
    "setting": "setting",
    "core": "in core",
    "study": "of a study",
    "speed": "work on speed, which changes no number",
    "missing": "**not here**",
    "outside": "not here, and will not be",
}
FAMILIES = {
    "A": "Architecture",
    "B": "Attention and masks",
    "C": "Optimizers and updates",
    "D": "Schedules",
    "E": "Head and loss",
    "F": "Data and batches",
    "G": "Precision and speed",
    "H": "Evaluation",
    "N": "Newer than these records",
    "I": "Of papers and other models",
    "P": "Parts that recipes need",
}
BEGIN = """# Techniques by the name that others gave them

For whoever knows a technique from a record, a paper or somebody's code, and looks for it here. `short`, `medium` and
`optimization` are the tracks of [modded-nanogpt](https://github.com/KellerJordan/modded-nanogpt) with the number of the
record, `proposal` one of its pull requests. Techniques link to their pages in [the catalogue](techniques/index.html),
which has more words to search in. Made by `python -m tests.plugins.known`; do not edit.
"""


@dataclass(frozen=True)
class Known:
    id: str
    name: str
    source: str
    kind: str
    where: str
    """Names of techniques, or a setting's path."""
    note: str

    @property
    def techniques(self) -> list[str]:
        return self.where.split(";") if self.kind == "technique" else []


def known() -> list[Known]:
    with (HERE / "known.csv").open(newline="", encoding="utf-8") as file:
        return [Known(**row) for row in csv.DictReader(file)]


def page() -> str:
    rows = known()
    missing = sum(each.kind == "missing" for each in rows)
    told = (
        f"{len(rows)} names: {sum(each.kind == 'technique' for each in rows)} are techniques, {missing} are not here."
    )
    return "\n".join([BEGIN, told, "", *(line for letter in FAMILIES for line in family(letter, rows))])


def family(letter: str, rows: list[Known]) -> Iterator[str]:
    yield from (f"## {FAMILIES[letter]}", "", "| elsewhere | source | here |", "|---|---|---|")
    for each in rows:
        if each.id.startswith(letter):
            yield f"| {each.name} | {each.source} | {here(each)} |"
    yield ""


def here(each: Known) -> str:
    links = [f"[`{name}`](techniques/{name}.html)" for name in each.techniques]
    place = [f"`{each.where}`"] if each.kind == "setting" else []
    word = [KINDS[each.kind]] if KINDS[each.kind] else []
    found = " ".join([*word, *place]) if not links else " with ".join(links)
    return f"{found}: {each.note}" if each.note else found


def unnamed(catalogue: Catalogue) -> list[str]:
    """Techniques that no row leads to."""
    named = {name for each in known() for name in each.techniques}
    return [name for name in catalogue.names() if name not in named]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
