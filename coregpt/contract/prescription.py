"""What a technique's source fixes of a run beside the technique itself, so that it is not taken for a confound."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from coregpt.contract.config import RunConfig
from coregpt.contract.errors import PluginError

PLUGINS = "plugins."


class Prescription(NamedTuple):
    """The value of one setting, and where the technique's authors say so.

    A value of None of `plugins.NAME` means that this technique is not enabled.
    """

    value: bool | int | float | str | None
    source: str


def refuse_unknown(owner: str, prescribes: Mapping[str, Prescription]) -> None:
    """Raises PluginError for a setting that no run has, and for a prescription nobody is cited for.

    Names and options of other techniques are not looked up: they may be installed or not.
    """
    for path, (_, source) in prescribes.items():
        if not source.strip():
            raise PluginError(f"{owner}.prescribes: '{path}' needs its source: where do the authors say so?")
        if not path.startswith(PLUGINS) and not _is_setting(path):
            raise PluginError(f"{owner}.prescribes: '{path}' is no setting of a run; expected optim.lr, for example")


def _is_setting(path: str) -> bool:
    fields: Any = RunConfig.model_fields
    *outer, last = path.split(".")
    for name in outer:
        fields = getattr(getattr(fields.get(name), "annotation", None), "model_fields", {})
    return last in fields
