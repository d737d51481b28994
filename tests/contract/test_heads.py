import pytest

from coregpt.contract.config import ModelShape
from coregpt.contract.errors import PluginError
from coregpt.contract.heads import Heads


def test_groups() -> None:
    assert Heads(6, 2, 8, 4).group == 3
    assert Heads.of(ModelShape(dim=32, heads=4)) == Heads(4, 4, 8, 8)
    assert Heads.of(ModelShape(dim=32, heads=4), 6) == Heads(4, 4, 6, 8)


def test_numbers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(PluginError, match="4 query heads cannot share 3 key heads evenly"):
        Heads(4, 3, 8, 8)
    with pytest.raises(PluginError, match="must be positive"):
        Heads(4, 0, 8, 8)
