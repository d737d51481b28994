"""Libraries that come with the extra `data`, imported where they are needed and not before."""

import importlib
from typing import Any

from coregpt.contract.errors import DataError

INSTALL = "python -m pip install 'coregpt[data]'  (in a checkout: python -m pip install -e '.[data]')"


def extra(module: str, purpose: str) -> Any:
    """The module. Raises DataError, which says how to install it, where it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise DataError(
            f"{purpose} needs the package '{module.partition('.')[0]}' ({error}); install it: {INSTALL}"
        ) from error
