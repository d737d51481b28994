"""The study of a published report, to be run again on fresh seeds at the settings that its report has."""

from pathlib import Path

from coregpt.cli.studies.loading import load_studies
from coregpt.cli.studies.resources import Resources
from coregpt.contract.errors import ConfigError
from coregpt.lab.designs.found import frozen
from coregpt.lab.planning.preregister import unsaid
from coregpt.lab.planning.redeclare import for_fresh_seeds, redeclare
from coregpt.lab.records.amendment import amendments
from coregpt.lab.study.declaration import Study
from coregpt.lab.study.meaning import digests_of, meant
from coregpt.report.designs import DESIGNS
from coregpt.report.facts.model import Report


def published_study(report: Report, yaml: Path | None, source: Path, use: Resources) -> Study:
    """As declared, from the report or from its file, with what tuning found; its seeds are still the report's."""
    facts = report.study
    if yaml is not None:
        studies = load_studies(yaml, facts.scale or None, use.store, use.slurm)
        study = next((each for each in studies if same_study(each, report)), studies[0])
        if not same_study(study, report):
            raise ConfigError(
                f"{yaml}: is not the study of {source}: its digest is {study.digest[:12]}, "
                f"the report's is {facts.digest[:12]}"
            )
        return as_tuned(for_fresh_seeds(study), report)
    if not facts.declaration:
        raise ConfigError(
            f"{source}: the report does not hold its study's declaration (an older version wrote it, or it was made "
            "from logs); give the study with --study STUDY.yaml"
        )
    arms = [arm.name for arm in facts.arms if arm.name != facts.yardstick]
    study = redeclare(facts.declaration, facts.digest, arms, facts.seeds, facts.name, source, use.store)
    return as_tuned(for_fresh_seeds(study), report)


def same_study(study: Study, report: Report) -> bool:
    """Whether a study is what a report, perhaps of an earlier version, declares."""
    facts, mine = report.study, study.preregistration()
    if facts.digest in digests_of(mine):
        return True
    if not facts.declaration:
        return False
    return not amendments(meant(facts.declaration), meant(mine), same_data=False, unsaid=({}, unsaid(study)))


def as_tuned(study: Study, report: Report) -> Study:
    """The study with the settings that the report's tuning found; nothing is tuned again."""
    found = {arm: values for design in DESIGNS for arm, values in design.settings(report).items()}
    return frozen(study, found) if found else study
