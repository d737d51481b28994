"""Studies whose seeds allow no verdict, whatever the runs show: refused, unless they are declared a pilot."""

from coregpt.contract.errors import ConfigError
from coregpt.lab.designs import DESIGNS
from coregpt.lab.designs.history import borrowed
from coregpt.lab.study.declaration import Study
from coregpt.lab.study.yamlfile import read
from coregpt.stats.design import choose_test, fewest_seeds


def refuse_undecidable(study: Study) -> None:
    """Raises ConfigError, saying what to write instead."""
    test, arms, seeds = study.criterion, len(study.compared) - 1, len(study.seeds)
    prior = borrowed(study)
    design = choose_test(seeds, arms, screen=test.screen is not None, borrowed_df=prior.df if prior else 0.0)
    if design.can_test or test.pilot or any(each.decides(study) for each in DESIGNS):
        return
    raise ConfigError(
        f"{read(study.path).where(('seeds',))}: {design.reason}, so these runs could decide nothing; write seeds: "
        f"{fewest_seeds(arms)} or more, or test: {{pilot: true}} to make them without a verdict"
    )
