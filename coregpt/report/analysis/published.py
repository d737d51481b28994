"""One's own execution of a study held against a published report on the same declaration."""

from coregpt.report.analysis.replication import predict
from coregpt.report.facts.environment import apart, code_apart
from coregpt.report.facts.model import Report
from coregpt.report.facts.published import Published, PublishedGain


def against(report: Report, theirs: Report, path: str, sha256: str) -> Published:
    """What of both is compared; `theirs` lies at `path`, and its text has this sha256.

    What agrees with a published gain is fixed by the published numbers alone, as for fresh seeds. Equal seeds on other
    hardware differ by less than those, so that agreeing is easy and disagreeing means something.
    """
    ours, others = ({(run.arm, run.seed): (run.status, run.value) for run in each.runs} for each in (report, theirs))
    study, other, seeds = report.study, theirs.study, len(report.study.seeds)
    found = (predict(c, seeds, len(theirs.comparisons)) for c in theirs.comparisons)
    return Published(
        path=path,
        sha256=sha256,
        same=ours == others,
        gains=tuple(PublishedGain(arm=p.arm, gain=p.published, interval=p.interval) for p in found if p is not None),
        code=tuple(code_apart(other.code, study.code)) if other.code and study.code else (),
        apart=apart(other.environment.values, study.environment.values),
    )
