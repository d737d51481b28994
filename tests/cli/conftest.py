"""The tiny study of the lab's tests."""

from tests.lab.conftest import executed, lab, shards

__all__ = ["executed", "lab", "shards"]
