"""Getting training data that is not embedded. Beside the engine and not in it: nothing here can change a number."""

from coregpt.fetch.fineweb import fetch_fineweb
from coregpt.fetch.sets import SETS

__all__ = ["SETS", "fetch_fineweb"]
