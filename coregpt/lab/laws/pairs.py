"""Every two techniques train together, or clash with an error that names two of those enabled."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from coregpt.contract.errors import CoreGPTError, in_one_line
from coregpt.engine.build import Run
from coregpt.lab.laws.law_case import EVERYTHING, PLAIN, LawCase, LawError
from coregpt.lab.laws.loop import steps_on_one_batch
from coregpt.lab.laws.pair_notes import CLASHES, FAILS, TRAINS, PairNotes
from coregpt.lab.study.code.blame import told
from coregpt.lab.study.code.witness import witnessed
from coregpt.lab.study.registry import Catalogue

STEPS = (0, 1, 7)
"""Of eight: the first two, of which the second sees what the first has moved, and the last, with dials at their end."""


def trains_or_clashes(case: LawCase, other: str) -> str:
    """`trains`, or the error with which the two clash; they train plain and with everything around.

    Raises LawError if they fail in any other way, or clash without saying which two do.
    """
    beside: dict[str, dict[str, Any]] = {**case.beside, other: {}}
    both = LawCase(case.catalogue, case.name, case.options, beside, broken=case.broken)
    for around in (PLAIN, EVERYTHING):
        here = both.under(around)
        try:
            run = here.run(here.config())
        except CoreGPTError as error:
            if error.__cause__ is None and sum(f"'{name}'" in str(error) for name in here.plugins()) > 1:
                return str(error)
            raise LawError(f"they do not build{here.where()}, and the error names no two of them: {error}") from error
        try:
            finite = witnessed(partial(_finite, here, run))
        except Exception as error:  # plugins may fail in any way
            raise LawError(f"they do not train{here.where()}: {told(error) or in_one_line(error)}") from error
        if not finite:
            raise LawError(f"the loss is not finite{here.where()}")
    return TRAINS


def clash_of(catalogue: Catalogue, one: str, other: str) -> str | None:
    """With what message two techniques are refused together in the plain model; None if they build. Trains nothing."""
    case = LawCase(catalogue, one, {}, {other: {}})
    try:
        case.run(case.config())
    except CoreGPTError as error:
        return in_one_line(error)
    return None


def _finite(case: LawCase, run: Run) -> bool:
    trainer = steps_on_one_batch(run, case)
    return all(bool(torch.isfinite(trainer.train_step(step)).all()) for step in STEPS)


def all_pairs(catalogue: Catalogue, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each of `names` with every technique of the catalogue; no names: all with all. No pair comes twice."""
    wanted = set(names) or set(catalogue.names())
    for one, other in itertools.combinations(catalogue.names(), 2):
        if one in wanted or other in wanted:
            yield (one, other) if one in wanted else (other, one)


def check_pairs(
    catalogue: Catalogue,
    names: Iterable[str],
    options: Mapping[str, dict[str, Any]],
    say: Callable[[str], None],
    results: Path | None = None,
    part: tuple[int, int] = (1, 1),
) -> bool:
    """One line for each pair that fails or clashes, and how many train. `options` are those of some of `names`.

    `results` keeps what is found, and what it holds already is not tried again; `part` (i, n) are the i-th of n pairs.
    """
    torch.set_num_threads(1)
    pairs = list(all_pairs(catalogue, names))[part[0] - 1 :: part[1]]
    notes = PairNotes(catalogue, {name for pair in pairs for name in pair}, results)
    counts, known = {TRAINS: 0, CLASHES: 0, FAILS: 0}, 0
    for one, other in pairs:
        found = notes.found(one, other)
        known += found is not None
        if found is None:
            found = found_of(LawCase(catalogue, one, options.get(one, {})), other)
            notes.add(one, other, *found)
        how, why = found
        counts[how] += 1
        if how != TRAINS:
            say(f"{'FAIL ' if how == FAILS else 'clash'} {one} + {other}: {why}")
    said = f"{len(pairs)} pairs: {counts[TRAINS]} train, {counts[CLASHES]} clash by name"
    said += f", {counts[FAILS]} fail" if counts[FAILS] else ""
    say(said + (f"; {known} of them known from {results}" if known else ""))
    return not counts[FAILS]


def found_of(case: LawCase, other: str) -> tuple[str, str]:
    """What becomes of a pair, and what is to be said of it; whatever goes wrong."""
    try:
        found = trains_or_clashes(case, other)
    except Exception as error:  # a broken technique of somebody else is one line, not the end
        return FAILS, str(error) if isinstance(error, LawError) else told(error) or in_one_line(error)
    return (TRAINS, "") if found == TRAINS else (CLASHES, found)
