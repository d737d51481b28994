"""Every built-in technique obeys every law; every pair of them builds and trains, or clashes with a clear error."""

import itertools
from collections.abc import Callable

import pytest
import torch

from coregpt.contract.errors import PluginError
from coregpt.lab.laws import laws
from coregpt.lab.laws.tools import two_ranks
from coregpt.lab.study.registry import Catalogue

CATALOGUE = Catalogue()
NAMES = CATALOGUE.names()
ALONE = [law for law in laws.LAWS if law is not laws.two_ranks_equal_one]


@pytest.mark.parametrize("law", ALONE, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_law(name: str, law: Callable[[laws.LawCase], None]) -> None:
    law(laws.LawCase(CATALOGUE, name))


def test_two_gloo_ranks_equal_one_for_every_plugin() -> None:
    subjects = {name: laws.LawCase(CATALOGUE, name) for name in NAMES}
    weights = two_ranks([subject.config(steps=4) for subject in subjects.values()])
    laws.compare_ranks(dict(zip(subjects, weights, strict=True)), subjects)


@pytest.mark.parametrize("pair", list(itertools.combinations(NAMES, 2)), ids="+".join)
def test_pair_trains_or_clashes_clearly(pair: tuple[str, str]) -> None:
    plugins: dict[str, dict[str, object]] = {}
    for name in pair:
        plugins |= laws.LawCase(CATALOGUE, name).plugins()
    subject = laws.LawCase(CATALOGUE, pair[0])
    clash = None
    try:
        run = subject.run(subject.config(plugins))
    except PluginError as error:
        clash = str(error)
    if clash is not None:
        # What one of the two requires may be what the other cannot stand.
        assert sum(f"'{name}'" in clash for name in plugins) > 1, f"the message must name two of them: {clash}"
        return
    tokens = subject.tokens()
    for step in range(2):
        run.dials.set(run.timeline.clock(step))
        loss, _ = run.model(tokens[:, :-1], tokens[:, 1:], run.dials.values)
        assert torch.isfinite(loss)
        loss.backward()
        run.optimizer.step(run.dials.lr_factor, run.dials.values)
        for companion in run.companions:
            companion.after_update(run.timeline.clock(step))
