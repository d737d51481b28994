"""What `coregpt plan` says of a study that may decide arms before its end."""

from coregpt.cli.screen import table
from coregpt.lab.designs import abort
from coregpt.lab.designs.looks import rule_of
from coregpt.lab.study.outline import Plan
from coregpt.stats.partial import ABORT_BELOW
from coregpt.stats.sequential import Looks
from coregpt.stats.stopping import Expected, expect

STUDIES = 4000


def stop_lines(made: Plan, sd: float) -> list[str]:
    """Boundaries, and how many runs to expect; nothing for a study that decides after all seeds."""
    rule, study = rule_of(made.study), made.study
    if study.criterion.abort is not None:
        return abort_lines(made)
    if rule is None:
        return []
    margin, arms = study.criterion.margin, len(study.compared) - 1
    effects = {"no effect": 0.0, f"a gain of {margin:g} (the margin)": margin}
    if isinstance(rule, Looks) and rule.gain is not None and rule.gain != margin:
        effects[f"a gain of {rule.gain:g} (futility)"] = rule.gain
    lines = [f"An arm is decided once its e-value is {1 / rule.alpha:g}."]
    if isinstance(rule, Looks):
        lines = boundaries(rule)
    rows = [["if every arm has", "seeds per arm", f"runs of {len(made.runs)}", "found", "given up"]]
    for name, effect in effects.items():
        rows.append([name, *_expected(expect(rule, effect, sd, arms, studies=STUDIES))])
    return [*lines, *table(rows), f"On average over {STUDIES:,} simulated studies, sd of a paired difference {sd:.2g}."]


def boundaries(rule: Looks) -> list[str]:
    """The |t| that decides at each look, and the one below the futility gain that gives up."""
    head = ["after seeds", "decided if |t| >"]
    futile = rule.futility
    if futile is None:
        return table([head, *([str(n), f"{t:.3f}"] for n, t in zip(rule.sizes, rule.boundaries, strict=True))])
    given_up = [*(f"{t:.3f}" for t in futile[:-1]), ""]
    each = zip(rule.sizes, rule.boundaries, given_up, strict=True)
    return table([[*head, f"given up if t of {rule.gain:g} - gain >"], *([str(n), f"{t:.3f}", u] for n, t, u in each)])


def _expected(found: Expected) -> list[str]:
    return [f"{found.pairs:.1f}", f"{found.runs:.1f}", f"{found.rejected:.1%}", f"{found.futile:.1%}"]


def abort_lines(made: Plan) -> list[str]:
    """Where arms pause, and what that can save."""
    step, steps = abort.pause_step(made), made.costs[made.baseline.name].steps
    others = len(made.study.compared) - 1
    saved = others * (steps - step) / (len(made.study.compared) * steps)
    return [
        f"All arms but {made.baseline.name} pause at step {step:,} of {steps:,}; those whose chance of a significant "
        f"result is under {ABORT_BELOW:.0%} are not finished. At most {saved:.0%} of all steps are saved.",
        "Not for techniques that act late, such as schedules, averaging or weight decay: they are judged before.",
    ]
