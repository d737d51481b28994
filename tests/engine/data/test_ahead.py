"""Rows that are read ahead are the rows that would have been read, by one thread, and errors are not lost."""

import threading

import pytest
import torch
from torch import Tensor

from coregpt.engine.data import Ahead, RowOrder
from coregpt.engine.training.trainer import train
from coregpt.lab.laws.tools import Rows, stop_after, tiny_source


class Order:
    """Reads numbers, and notes which thread asked for what."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []
        self.threads: set[str] = set()

    def rows(self, first: int, count: int) -> tuple[Tensor, Tensor]:
        self.asked.append((first, count))
        self.threads.add(threading.current_thread().name)
        if first < 0:
            raise OSError("the disk is gone")
        return torch.arange(first, first + count), torch.arange(count)


def test_on_a_cpu_nothing_is_read_before_it_is_asked_for() -> None:
    order, ahead = Order(), Ahead(wanted=False, pinned=False)
    ahead.take(order.rows, (0, 4), (4, 4))
    assert order.asked == [(0, 4)]
    assert order.threads == {threading.main_thread().name}
    ahead.close()


def test_what_comes_next_is_read_once_and_by_one_thread() -> None:
    order, ahead = Order(), Ahead(wanted=True, pinned=False)
    for step in range(5):
        first = ahead.take(order.rows, (4 * step, 4), (4 * step + 4, 4) if step < 4 else None)[0]
        assert first.tolist() == list(range(4 * step, 4 * step + 4))
    assert order.asked == [(4 * step, 4) for step in range(5)]
    assert len(order.threads) == 1
    assert threading.main_thread().name not in order.threads
    ahead.close()


def test_a_place_that_nobody_foresaw_is_read_all_the_same() -> None:
    order, ahead = Order(), Ahead(wanted=True, pinned=False)
    ahead.take(order.rows, (0, 4), (4, 4))
    assert ahead.take(order.rows, (40, 2), None)[0].tolist() == [40, 41]
    other = Order()
    ahead.take(order.rows, (0, 4), (4, 4))
    assert ahead.take(other.rows, (4, 4), None)[0].tolist() == [4, 5, 6, 7]
    assert other.asked == [(4, 4)]
    ahead.close()


def test_an_error_is_raised_where_the_rows_are_taken() -> None:
    order, ahead = Order(), Ahead(wanted=True, pinned=False)
    ahead.take(order.rows, (0, 4), (-1, 4))
    with pytest.raises(OSError, match="the disk is gone"):
        ahead.take(order.rows, (-1, 4), None)
    ahead.close()


def test_a_run_that_reads_ahead_is_the_same_run(build, tmp_path, monkeypatch) -> None:
    """Through a stop and a resume, and with batches that grow."""
    logs = []
    for number, wanted in enumerate((False, True)):
        made = Ahead.__init__

        def init(self, wanted: bool, pinned: bool, made=made, really=wanted) -> None:
            made(self, really, False)

        monkeypatch.setattr(Ahead, "__init__", init)
        rows, path = Rows(), tmp_path / f"{number}.pt"
        plugins = {"batch_schedule": {}}
        train(build(**plugins), tiny_source(), rows, path, stop_after(2))
        train(build(**plugins), tiny_source(), rows, path)
        logs.append(rows.without_times())
        monkeypatch.setattr(Ahead, "__init__", made)
    assert logs[0] == logs[1]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("rows")]


def test_a_real_order_is_read_ahead_across_epochs() -> None:
    source = tiny_source()
    straight, order = (RowOrder(source.train, 24, 0) for _ in range(2))
    ahead = Ahead(wanted=True, pinned=False)
    count = order.n_rows // 2 + 1
    for step in range(4):
        got = ahead.take(order.rows, (step * count, count), ((step + 1) * count, count))
        for mine, theirs in zip(got, straight.rows(step * count, count), strict=True):
            assert torch.equal(mine, theirs)
    ahead.close()
