"""The tasks of a launcher that wait for a slot, in the order in which they will start."""

from collections import deque
from collections.abc import Iterable

from coregpt.lab.designs.design import Task
from coregpt.lab.study.outline import Plan, PlannedRun


class Work:
    """Expected work of each task, in FLOPs; arms differ in size and budget."""

    def __init__(self, plan: Plan):
        arms = dict.fromkeys(run.arm for run in (*plan.trunks, *plan.runs))
        self.costs = {arm: plan.cost(arm) for arm in arms}

    def steps(self, run: PlannedRun) -> int:
        """Of a whole run of its arm."""
        return self.costs[run.arm].steps

    def flops(self, run: PlannedRun) -> float:
        """Of a whole run of its arm."""
        return self.costs[run.arm].flops

    def span(self, task: Task) -> tuple[float, float]:
        """Where a task begins and ends, as shares of a whole run of its arm."""
        return task.run.part.span(self.steps(task.run), task.until)

    def of(self, task: Task) -> float:
        begin, end = self.span(task)
        return (end - begin) * self.flops(task.run)


class Waiting:
    """A queue. What is asked of it between two starts costs no more in a longer one."""

    def __init__(self, work_of: Work, tasks: Iterable[Task] = ()):
        self.work_of = work_of
        self.tasks, self.longest_first = deque[Task](), False
        self.work = 0.0
        """Of all tasks in the queue, in FLOPs."""
        for task in tasks:
            self.add(task)

    def __len__(self) -> int:
        return len(self.tasks)

    def add(self, task: Task) -> None:
        self.tasks.append(task)
        self.longest_first = False
        self.work += self.work_of.of(task)

    def add_first(self, task: Task) -> None:
        self.tasks.appendleft(task)
        self.longest_first = False
        self.work += self.work_of.of(task)

    def take(self, slots: int) -> Task:
        """The first one; once `slots` slots get at most one more each, the longest, so that no slot ends late."""
        if len(self.tasks) <= slots and not self.longest_first:
            self.tasks = deque(sorted(self.tasks, key=self.work_of.of, reverse=True))
            self.longest_first = True
        task = self.tasks.popleft()
        # What rounding leaves behind is forgotten with the last task.
        self.work = self.work - self.work_of.of(task) if self.tasks else 0.0
        return task
