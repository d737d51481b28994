"""Numbers and names with the unit of their metric, or without: nobody here knows that of a program's metric."""


def with_unit(number: str, unit: str) -> str:
    """`0.012 nats per byte`."""
    return f"{number} {unit}" if unit else number


def told_in(metric: str, unit: str) -> str:
    """`val_loss in nats per byte`."""
    return f"{metric} in {unit}" if unit else metric


def labelled(axis: str, unit: str) -> str:
    """`val_loss (nats per byte)`."""
    return f"{axis} ({unit})" if unit else axis
