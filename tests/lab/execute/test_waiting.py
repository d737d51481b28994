"""The order of starts: as given, and the longest first once slots begin to run out of tasks."""

from collections.abc import Callable

import pytest

from coregpt.lab.designs.design import Task
from coregpt.lab.execute.waiting import Waiting, Work
from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.study.outline import Plan
from tests.lab.conftest import Lab

ARMS = {"small": {}, "deep": {"model": {"depth": 4}}}
TEST = {"baseline": "small", "margin": 0.02}


@pytest.fixture
def made(lab: Callable[..., Lab]) -> Plan:
    return plan(outline(load(lab(arms=ARMS, seeds=3, test=TEST).study)))


def test_tasks_come_in_their_order_and_in_the_last_wave_the_longest_first(made: Plan) -> None:
    small, deep = made.runs[:3], made.runs[3:]
    queue = Waiting(Work(made), [Task(run) for run in (small[0], deep[0], small[1], small[2], deep[1], deep[2])])
    taken = [queue.take(3).run for _ in range(3)]
    assert taken == [small[0], deep[0], small[1]]
    assert queue.take(3).run == deep[1]
    queue.add_first(Task(deep[0]))  # a retry
    queue.add(Task(small[0]))
    assert [queue.take(4).run.arm for _ in range(4)] == ["deep", "deep", "small", "small"]
    assert len(queue) == 0
    assert queue.work == 0


def test_a_retry_comes_before_what_waits(made: Plan) -> None:
    queue = Waiting(Work(made), [Task(run) for run in made.runs[:4]])
    queue.add_first(Task(made.runs[5]))
    assert queue.take(1).run == made.runs[5]


def test_the_work_is_that_of_the_tasks_in_it(made: Plan) -> None:
    work = Work(made)
    queue = Waiting(work, [Task(made.runs[0], until=50), Task(made.runs[3])])
    flops = [made.costs["small"].flops * 50 / 120, made.costs["deep"].flops]
    assert queue.work == pytest.approx(sum(flops))
    queue.take(1)
    assert queue.work == pytest.approx(flops[1])
