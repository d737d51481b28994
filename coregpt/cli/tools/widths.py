"""`coregpt plugins widths`: coordinate check and sweep of learning rates, plain and with a technique."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from coregpt.cli.programs import answer
from coregpt.cli.screen import say, table
from coregpt.cli.tools.plugins import all_named, named, settings
from coregpt.contract.errors import ConfigError
from coregpt.engine.data import pydocs, replacing
from coregpt.lab.laws.law_case import LawCase
from coregpt.lab.laws.widths import coordinates, refuse_widths, sweep
from coregpt.lab.study.registry import Catalogue
from coregpt.report.catalogue.widths import Widths, coordinates_table, lead, page, sweep_table
from coregpt.report.drawing.page import html

PLAIN = "plain"


@dataclass(frozen=True)
class Asked:
    """What is measured."""

    options: Sequence[str]
    beside: Sequence[str]
    widths: Sequence[int]
    rate: float
    steps: int
    octaves: tuple[int, int]
    """Of learning rates: from 2^first to 2^last."""
    sweep_steps: int
    """0: no sweep."""
    out: Path | None


def widths(name: str, asked: Asked) -> int:
    """Print what grows and which rates are best, and write the page where one is asked for."""
    refuse_widths(asked.widths)
    if asked.octaves[0] >= asked.octaves[1]:
        raise ConfigError(f"--rates: expected two rising octaves, got {asked.octaves[0]} and {asked.octaves[1]}")
    files, technique = named(name)
    more, beside = all_named(asked.beside)
    catalogue = Catalogue(dict.fromkeys([*files, *more]))
    case = LawCase(catalogue, technique, settings(asked.options), {each: {} for each in beside if each != technique})
    with_it = "+".join([technique, *case.beside])
    models = {PLAIN: {}, with_it: case.plugins()}
    for plugins in models.values():
        catalogue.instances(plugins)
    found = {
        each: coordinates(case, plugins, asked.widths, asked.rate, asked.steps) for each, plugins in models.items()
    }
    measured = Widths(with_it, asked.rate, asked.steps, found)
    if asked.sweep_steps:
        source, rates = pydocs(), [2.0**octave for octave in range(asked.octaves[0], asked.octaves[1] + 1)]
        sweeps = {}
        for each, plugins in models.items():
            say(f"{each}: {len(asked.widths)} widths x {len(rates)} rates x {asked.sweep_steps:,} steps")
            sweeps[each] = sweep(case, plugins, source, asked.widths, rates, asked.sweep_steps)
        measured = Widths(with_it, asked.rate, asked.steps, found, asked.sweep_steps, sweeps)
    tell(measured)
    if asked.out is not None:
        with replacing(asked.out) as file:
            file.write(html(page(measured)).encode())
        say(f"\n{asked.out}: the same with pictures")
    return 0


def tell(found: Widths) -> None:
    """Tables, then the sentence."""
    for shown in (coordinates_table(found), *([sweep_table(found)] if found.sweeps else [])):
        say(f"\n{shown.title}")
        for row in table([shown.head, *shown.rows]):
            say(row)
    say("")
    say(lead(found))
    powers = {each: own.slopes() for each, own in found.coordinates.items()}
    best = {
        each: {str(width): rate for width, rate in own.best().items()} for each, own in (found.sweeps or {}).items()
    }
    answer("widths", {"technique": found.technique, "powers": powers, "best_rates": best})
