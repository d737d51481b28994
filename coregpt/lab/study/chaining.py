"""What a study is in a chain of studies on one baseline, by its declaration alone."""

import hashlib
from dataclasses import replace

from coregpt.lab.study.declaration import Machine, Study
from coregpt.lab.study.identity import ID_LENGTH, READ_OR_ROUNDED, WATCHING, canonical
from coregpt.lab.study.kind import foreign
from coregpt.lab.study.meaning import meant
from coregpt.lab.study.sections.chain import ConfirmsFile, EarlierFile, FollowsFile


def unresolved(study: Study) -> Study:
    """The study as declared before its registration: so many fresh seeds, tested at its chain's alpha."""
    said = {"seeds": {"fresh": len(study.seeds)}, "test": study.criterion.declared()}
    return replace(study, unresolved=said)


def confirms(study: Study) -> ConfirmsFile | None:
    """Whose candidate a study tests again; None for a study of its own."""
    found: ConfirmsFile | None = study.designs.get("confirms")
    return found


def follows(study: Study) -> FollowsFile | None:
    """Whose confirmed arm the baseline is; None for a baseline of its own."""
    found: FollowsFile | None = study.designs.get("follows")
    return found


def earlier(study: Study) -> EarlierFile | None:
    """What was tried before on this baseline and is in no ledger at hand; None where the study says nothing of it."""
    found: EarlierFile | None = study.designs.get("earlier")
    return found


def screens(study: Study) -> bool:
    """Whether a study looks for candidates only."""
    return study.designs.get("stage") == "screen"


def baseline_of(study: Study, data: str) -> str:
    """What the chain of a study's baseline is called."""
    return as_baseline(study, study.criterion.baseline, data)


def as_baseline(study: Study, arm_name: str, data: str) -> str:
    """What the chain of an arm is called, were it a baseline: the arm as written, without seeds, what the machine
    decides and how the run is looked at, the digest of its data, the metric. Arms may be called anything."""
    arm = next(each for each in study.written if each.name == arm_name)
    aside = {*Machine.model_fields, *WATCHING, *READ_OR_ROUNDED}
    kind = foreign(arm.run)
    settings = kind.essence() if kind else {key: value for key, value in arm.settings().items() if key not in aside}
    said = {**meant({"arms": {"": settings}}), "data": data, "metric": study.criterion.metric}
    return hashlib.sha256(canonical(said)).hexdigest()[:ID_LENGTH]


def chain_of(study: Study, data: str) -> str:
    """The chain of a study that confirms no other one: its baseline's, or the one that it names on it."""
    named = study.designs.get("chain")
    baseline = baseline_of(study, data)
    return f"{baseline}/{named}" if named else baseline
