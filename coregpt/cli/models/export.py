"""`coregpt export`."""

from argparse import Namespace

from coregpt.cli.models.opening import opened
from coregpt.cli.records.housekeeping import amount
from coregpt.cli.screen import say, table
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.records.status import find
from coregpt.trained import gpt2
from coregpt.trained.exporting import export as exported

OUR_OWN = "coregpt"
"""A layout."""


def export(options: Namespace) -> int:
    out = options.out
    if options.layout == OUR_OWN:
        run = find(Ledger.of(options.runs).read(), options.runs, options.run, options.study)
        exported(run.id, options.runs, out)
        use = f"from coregpt.trained.exporting import open_export; open_export({str(out)!r}).logits(tokens)"
    else:
        gpt2.write(opened(options), out)
        use = f"from transformers import GPT2LMHeadModel; GPT2LMHeadModel.from_pretrained({str(out)!r})"
    files = sorted(path for path in out.rglob("*") if path.is_file())
    for line in table([(amount(path.stat().st_size), str(path)) for path in files]):
        say(line)
    say(f"in Python: {use}")
    return 0
