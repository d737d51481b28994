"""The model that a command names: a run of the ledger, or a folder of an export."""

from argparse import Namespace
from pathlib import Path

import torch

from coregpt.cli.screen import say
from coregpt.contract.errors import ConfigError
from coregpt.trained.exporting import changed_since, is_export, open_export
from coregpt.trained.opening import Trained, open_run


def opened(options: Namespace, name: str | None = None) -> Trained:
    """Raises ConfigError saying why there is no such model."""
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(f"--device {options.device}: no GPU is visible; expected cpu")
    name = name or options.run
    folder = Path(name)
    if not is_export(folder):
        return open_run(name, options.study, options.runs, options.device)
    model = open_export(folder, options.device)
    if changed := changed_since(folder):
        say(f"note: {' and '.join(changed)} changed since this model was trained, so its numbers may differ")
    return model
