"""Studies whose seeds allow no verdict, whatever the runs show: refused, unless they are declared a pilot."""

import itertools
from dataclasses import replace

from coregpt.contract.errors import ConfigError
from coregpt.lab.planning.power import announced
from coregpt.lab.study.declaration import Study
from coregpt.lab.study.yamlfile import read
from coregpt.stats.design import MIN_SEEDS


def refuse_undecidable(study: Study) -> None:
    """Raises ConfigError, saying what to write instead."""
    design, _ = announced(study, 1.0)
    if design.can_test or study.criterion.pilot:
        return
    raise ConfigError(
        f"{read(study.path).where(('seeds',))}: {design.reason}, so these runs could decide nothing; write seeds: "
        f"{_fewest(study)} or more, or test: {{pilot: true}} to make them without a verdict"
    )


def _fewest(study: Study) -> int:
    """Seeds with which the same study could decide something."""
    return next(
        n for n in itertools.count(MIN_SEEDS) if announced(replace(study, seeds=tuple(range(n))), 1.0)[0].can_test
    )
