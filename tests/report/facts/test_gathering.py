"""The collector is off inside and as it was outside, whatever happens."""

import gc

import pytest

from coregpt.report.facts.gathering import nothing_is_garbage


def test_the_collector_is_off_inside_and_as_before_outside() -> None:
    assert gc.isenabled()
    with nothing_is_garbage():
        with nothing_is_garbage():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_an_error_leaves_it_on() -> None:
    @nothing_is_garbage()
    def fails() -> None:
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        fails()
    assert gc.isenabled()
