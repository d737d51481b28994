"""The tasks of a launcher that wait for a slot, in the order in which they will start."""

from collections import deque
from collections.abc import Iterable

from coregpt.lab.study import Plan, PlannedRun
from coregpt.lab.tasks import Task


class Sizes:
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
        steps, record = self.steps(task.run), task.run.record
        until = steps if task.until is None else task.until
        return record.get("branch", {"step": 0})["step"] / steps, record.get("until", until) / steps

    def of(self, task: Task) -> float:
        begin, end = self.span(task)
        return (end - begin) * self.flops(task.run)


class Waiting:
    """A queue. What is asked of it between two starts costs no more in a longer one."""

    def __init__(self, sizes: Sizes, tasks: Iterable[Task] = ()):
        self.sizes = sizes
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
        self.work += self.sizes.of(task)

    def add_first(self, task: Task) -> None:
        self.tasks.appendleft(task)
        self.longest_first = False
        self.work += self.sizes.of(task)

    def take(self, slots: int) -> Task:
        """The first one; once `slots` slots get at most one more each, the longest, so that no slot ends late."""
        if len(self.tasks) <= slots and not self.longest_first:
            self.tasks = deque(sorted(self.tasks, key=self.sizes.of, reverse=True))
            self.longest_first = True
        task = self.tasks.popleft()
        # What rounding leaves behind is forgotten with the last task.
        self.work = self.work - self.sizes.of(task) if self.tasks else 0.0
        return task
