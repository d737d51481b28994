"""`coregpt plugins pages`: the catalogue of techniques as static pages."""

import json
from pathlib import Path

from coregpt.cli.screen import say
from coregpt.contract.errors import ConfigError
from coregpt.lab.atomic import write_text
from coregpt.lab.study.registry import Catalogue
from coregpt.report.catalogue.collect import collect
from coregpt.report.catalogue.facts import Catalogued
from coregpt.report.catalogue.names import INDEX
from coregpt.report.catalogue.pages import pages

FACTS = "techniques.json"
MINE = ("<!DOCTYPE html>", "<svg")
PICTURES = "atlas-*.svg"


def write_pages(out: Path, package: str, prices: Path, reports: Path, again: bool) -> int:
    """Facts and pages into a folder; pages of techniques that are gone leave it. `again`: build every pair anew."""
    catalogue = Catalogue()
    if package not in {each.package for name in catalogue.names() for each in catalogue.found[name]}:
        raise ConfigError(f"--package {package}: offers no technique here")
    before = None if again else known(out / FACTS)
    found = collect(catalogue, package, prices, reports, say, before)
    made = pages(found)
    out.mkdir(parents=True, exist_ok=True)
    for old in [*out.glob("*.html"), *out.glob(PICTURES)]:
        if old.name not in made and old.read_text(encoding="utf-8").startswith(MINE):
            old.unlink()
    for name, text in made.items():
        write_text(out / name, text)
    write_text(out / FACTS, found.model_dump_json(indent=1) + "\n")
    say(f"{len(made)} pages: {out / INDEX}")
    return 0


def known(path: Path) -> Catalogued | None:
    """The pairs of before; None where they cannot be read, and then every pair is built anew.

    What was measured is left away: it is read again each time, and may have been written in another shape.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        techniques = [{**each, "prices": (), "effects": ()} for each in told["techniques"]]
        return Catalogued.model_validate({"techniques": techniques, "clashes": told["clashes"]})
    except (OSError, ValueError, KeyError, TypeError):
        return None
