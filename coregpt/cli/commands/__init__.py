"""Every command, in the order of `coregpt --help`.

Each is one function that declares its help, its options and, as `execute`, what it runs: the parsed options in, the
exit code out (not as `run`: `logs` and `rerun` have a RUN). A new command is such a function, its place in this list,
and a module of `coregpt.cli` that does the work. That module is imported inside `execute` and not before: help and
mistakes answer at once.
"""

from collections.abc import Callable

from coregpt.cli.commands import models, records, reports, studies, text, tools
from coregpt.cli.options import Commands

COMMANDS: tuple[Callable[[Commands], None], ...] = (
    studies.plan,
    studies.ablate,
    studies.noise,
    records.status,
    records.ls,
    records.logs,
    records.rerun,
    records.gc,
    reports.report,
    reports.results,
    studies.judge,
    studies.placebo,
    studies.confirm,
    studies.verify,
    records.ledger,
    reports.import_,
    models.generate,
    models.export,
    models.eval_,
    models.diff,
    tools.try_,
    tools.plugins,
    tools.schema,
    text.tokenizer,
    text.data,
    tools.calibrate,
)
