"""The pages' section on forks: what was shared, and what that saved."""

from coregpt.report.designs.fork.analysis import fork_reading
from coregpt.report.drawing.numbers import DASH, known, si
from coregpt.report.drawing.tables import Table
from coregpt.report.facts.model import Report

TITLE = "What the arms share"


def words(report: Report) -> str:
    """The paragraph above the tables."""
    found, study = report.fork, report.study
    assert found is not None
    cost = f"The study trained {found.tokens / found.whole_tokens:.0%} of the tokens that separate runs would have. "
    check = "A branch of the baseline ends as a run that was never forked, where executions of a run agree to the bit."
    return f"{fork_reading(study)} {cost if found.whole_tokens else ''}{check}"


def tables(report: Report) -> list[Table]:
    """Costs with the trunk counted once, and the trunk of each seed."""
    found, fork = report.fork, report.study.fork
    assert found is not None
    assert fork is not None
    arms, seeds = len(report.study.arms), len(report.study.seeds)
    costs = [
        ("trunks", f"{seeds} × {found.share:.1%}", known(seeds * fork.tokens)),
        ("branches", f"{arms * seeds}", known(found.tokens - seeds * fork.tokens)),
        ("trained in all", DASH, f"{known(found.tokens)} ({si(found.flops)} FLOPs)"),
        ("separate runs", f"{arms * seeds}", f"{known(found.whole_tokens)} ({si(found.whole_flops)} FLOPs)"),
    ]
    trunks = [(str(trunk.seed), trunk.run_id, trunk.state or "not there yet") for trunk in fork.trunks]
    return [
        Table("Cost of the fork, planned", ("what", "runs", "tokens"), costs),
        Table("The trunk of each seed", ("seed", "run", "sha256 of its state at the fork"), trunks, words=True),
    ]
