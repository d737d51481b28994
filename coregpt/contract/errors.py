"""Every error a user can cause. The CLI prints the message, never a traceback."""


class CoreGPTError(Exception):
    """Base class. `exit_code` is what the command line returns."""

    exit_code = 2


class ConfigError(CoreGPTError):
    """A study, option or argument is wrong. The message names file, key and what was expected."""


class PluginError(CoreGPTError):
    """A plugin cannot be loaded, breaks the contract, or clashes with another one."""


class DataError(CoreGPTError):
    """Training data is missing or damaged. The message says how to get it."""


class RunError(CoreGPTError):
    """A run failed while training. Recorded with the run, which can be resumed."""

    exit_code = 1
