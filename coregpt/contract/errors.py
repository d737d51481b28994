"""Every error a user can cause, and what is said of any other. The CLI prints the message, never a traceback."""


class CoreGPTError(Exception):
    """Base class. `exit_code` is what the command line returns."""

    exit_code = 2
    placed = False
    """Whether the plugin whose line it comes from was looked for, or need not be."""


class ConfigError(CoreGPTError):
    """A study, option or argument is wrong. The message names file, key and what was expected."""


class PluginError(CoreGPTError):
    """A plugin cannot be loaded, breaks the contract, or clashes with another one."""


class DataError(CoreGPTError):
    """Training data is missing or damaged. The message says how to get it."""


class RunError(CoreGPTError):
    """A run failed while training. Recorded with the run, which can be resumed."""

    exit_code = 1


ON_SHAPES = (
    "a number is read out of a tensor that has only a shape, as all have while a run is counted and planned; compute "
    "with tensors there (torch.where for a branch), and with Python's numbers for what options and sizes decide"
)
"""What torch says in many ways of tensors on its meta device and of fake ones."""
NEEDS_NUMBERS = ("DataDependentOutputException", "DynamicOutputShapeException")


def in_one_line(error: BaseException) -> str:
    """`RuntimeError: mat1 and mat2 shapes cannot be multiplied`; core's own errors are their message."""
    text = str(error).strip().splitlines()
    if isinstance(error, CoreGPTError) and text:
        return text[0]
    if on_shapes(error):
        return ON_SHAPES
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def on_shapes(error: BaseException) -> bool:
    """Whether numbers were asked for where there are only shapes."""
    told = str(error)
    return (
        type(error).__name__ in NEEDS_NUMBERS
        or (isinstance(error, RuntimeError) and ("on meta tensor" in told or "out of meta tensor" in told))
        or (isinstance(error, NotImplementedError) and "with Meta tensors" in told)
    )
