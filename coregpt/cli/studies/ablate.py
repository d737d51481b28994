"""`coregpt ablate`: plan, run what is missing, report, mirror."""

from pathlib import Path

from coregpt.cli.studies.loading import put_before_laws, sound_studies
from coregpt.cli.studies.resources import Resources
from coregpt.cli.studies.training import run_study
from coregpt.lab.planning.measured import measured
from coregpt.lab.planning.plans import outline, plan, trials_before


def ablate(path: Path, scale: str | None, use: Resources) -> int:
    """Run a study, or one per size, to its report, here or on a cluster.

    Exit code 1 if a run failed or arms matched on seconds came out unequal, 130 if interrupted.
    """
    studies, _ = sound_studies(path, scale, use.store, use.slurm)
    put_before_laws(studies)
    studies = studies if use.slurm else measured(studies, use.store)
    first = studies[0]
    if first.member:
        from coregpt.cli.studies.family import ablate_family

        return ablate_family(studies, use)
    outlined = outline(first)
    trials = trials_before(outlined)
    if trials is not None:
        from coregpt.cli.studies.trials import ablate_after

        return ablate_after(trials, first, use)
    return run_study(plan(outlined, use.nodes), use)
