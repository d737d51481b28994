"""What a study still has to execute."""

from coregpt.lab.designs.design import Task
from coregpt.lab.execute.tasks import block_order
from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline, plan
from tests.lab.conftest import Lab


def test_blocks_come_one_after_the_other_and_arms_are_shuffled_in_them(executed: Lab) -> None:
    tasks = [Task(run) for run in plan(outline(load(executed.study))).runs]
    ordered = block_order(tasks, "digest")
    assert [task.run.seed for task in ordered] == [0, 0, 1, 1]
    assert ordered == block_order(tasks, "digest")
    orders = {tuple(task.run.arm for task in block_order(tasks, str(i))) for i in range(20)}
    assert len(orders) == 4
