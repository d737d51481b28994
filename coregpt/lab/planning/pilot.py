"""Studies whose seeds allow no verdict, whatever the runs show: refused, unless they are declared a pilot."""

import itertools
import math
from dataclasses import replace

from coregpt.contract.errors import ConfigError
from coregpt.lab.planning.power import announced
from coregpt.lab.study.declaration import Study
from coregpt.lab.study.whereabouts import where
from coregpt.stats.design import MIN_SEEDS


def refuse_undecidable(study: Study) -> None:
    """Raises ConfigError, saying what to write instead."""
    design, smallest = announced(study, 1.0)
    if study.criterion.pilot:
        return
    if design.can_test and smallest is not None and math.isinf(smallest):
        raise ConfigError(
            f"{where(study, 'seeds')}: {len(study.seeds)} seeds can never decide anything at alpha "
            f"{study.criterion.alpha:.2g}, whatever the runs show; take more"
        )
    if design.can_test:
        return
    raise ConfigError(
        f"{where(study, 'seeds')}: {design.reason}, so these runs could decide nothing; write seeds: "
        f"{_fewest(study)} or more, or test: {{pilot: true}} to make them without a verdict"
    )


def _fewest(study: Study) -> int:
    """Seeds with which the same study could decide something."""
    return next(
        n for n in itertools.count(MIN_SEEDS) if announced(replace(study, seeds=tuple(range(n))), 1.0)[0].can_test
    )
