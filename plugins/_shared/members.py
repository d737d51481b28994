"""All parameters of a group at once, for rules that look at several of them: any rank may hold any part of a stack."""

from collections.abc import Callable

from torch import Tensor

from coregpt.api import Dials, ParamGroup


def alone(tensor: Tensor) -> Tensor:
    """The sum over one rank."""
    return tensor


class Members:
    """The members of a group, of which every rank holds some. `all_reduce` is set to `RunView.all_reduce`."""

    def __init__(self, group: ParamGroup):
        self.count = len(group.paths)
        self.all_reduce: Callable[[Tensor], Tensor] = alone

    def all(self, mine: Tensor, dials: Dials) -> Tensor:
        """`mine` (n, *shape) of every rank as (count, *shape), in the order of the group's paths."""
        found = mine.new_zeros((self.count + 1, *mine.shape[1:]))  # a last row for what pads a stack
        found.index_copy_(0, self.places(dials), mine)
        return self.all_reduce(found)[:-1]

    def mine(self, all_of_them: Tensor, dials: Dials) -> Tensor:
        """This rank's rows (n, *shape) of what `all` gave; what pads a stack is a copy of the last member."""
        return all_of_them[self.places(dials).clamp(max=self.count - 1)]

    def places(self, dials: Dials) -> Tensor:
        rows = dials["rows"]
        assert isinstance(rows, Tensor)
        return rows.clamp(max=self.count)


def beside(group: ParamGroup, names: tuple[str, ...]) -> list[list[int]]:
    """For every attention that has all of these maps in the group: their places in it, in the order of `names`."""
    place = {path: number for number, path in enumerate(group.paths)}
    first = f".{names[0]}.weight"
    homes = [path.removesuffix(first) for path in group.paths if path.endswith(first)]
    wanted = [[f"{home}.{name}.weight" for name in names] for home in homes if home.endswith("attention")]
    return [[place[path] for path in paths] for paths in wanted if all(path in place for path in paths)]
