"""Studies whose seeds allow no verdict, whatever the runs show: refused, unless they are declared a pilot."""

from coregpt.contract.errors import ConfigError
from coregpt.lab.designs.looks import rule_of
from coregpt.lab.study.declaration import Study
from coregpt.lab.study.yamlfile import read
from coregpt.stats.design import choose_test, fewest_seeds


def refuse_undecidable(study: Study) -> None:
    """Raises ConfigError, saying what to write instead."""
    test, arms, seeds = study.criterion, len(study.compared) - 1, len(study.seeds)
    borrowed = study.borrowed.df if study.borrowed else 0.0
    design = choose_test(seeds, arms, screen=test.screen is not None, borrowed_df=borrowed)
    if design.can_test or test.pilot or rule_of(study) is not None:
        return
    raise ConfigError(
        f"{read(study.path).where(('seeds',))}: {design.reason}, so these runs could decide nothing; write seeds: "
        f"{fewest_seeds(arms)} or more, or test: {{pilot: true}} to make them without a verdict"
    )
