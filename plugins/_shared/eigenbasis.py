"""The eigenbases of Shampoo's two statistics of a matrix, followed by power steps.

State of a matrix (r, c), or of a stack of any depth: per side `left` and `right` a statistic and a basis, whose columns
are the eigenvectors; where a side has none its basis is the identity. A second moment `v` lies in the bases.
"""

import torch
from torch import Tensor

State = dict[str, Tensor]


def sides(state: State) -> list[str]:
    """Which sides have a basis."""
    return [side for side in ("left", "right") if f"{side}_basis" in state]


def room(p: Tensor, max_side: int) -> State:
    """Statistics and bases of zeros for p (n, ..., r, c), where a side is not longer than `max_side`."""
    state = {}
    for side, size in (("left", p.shape[-2]), ("right", p.shape[-1])):
        if size <= max_side:
            for name in ("statistic", "basis"):
                state[f"{side}_{name}"] = p.new_zeros((*p.shape[:-2], size, size))
    return state


def gather(g: Tensor, state: State, beta: float) -> None:
    """Takes g g^T and g^T g into the statistics: S <- beta S + (1 - beta) product."""
    for side in sides(state):
        state[f"{side}_statistic"].lerp_(g @ g.mT if side == "left" else g.mT @ g, 1 - beta)


def begin(g: Tensor, state: State) -> None:
    """The bases of the first gradient alone: its singular vectors, largest first."""
    u, _, v_t = torch.linalg.svd(g, full_matrices=False)
    for side, vectors in (("left", u), ("right", v_t.mT)):
        if f"{side}_basis" in state:
            state[f"{side}_basis"].copy_(completed(vectors))


def turned(x: Tensor, state: State, back: bool = False) -> Tensor:
    """x (n, ..., r, c) in the eigenbases, or from there to where it came from."""
    left, right = state.get("left_basis"), state.get("right_basis")
    if left is not None:
        x = (left if back else left.mT) @ x
    if right is not None:
        x = x @ (right.mT if back else right)
    return x


def completed(columns: Tensor) -> Tensor:
    """Orthonormal columns (n, ..., k, m), with k - m more that make them a basis (columns may change sign).

    The singular vectors of the first G are eigenvectors of G G^T and G^T G. What those two do not reach is filled by
    reflections, which hang smoothly on the columns that are there; an eigenvector routine would let rounding decide.
    """
    return columns if columns.shape[-2] == columns.shape[-1] else torch.linalg.qr(columns, mode="complete")[0]


def turn(state: State, side: str, following: tuple[str, ...] = ("v",)) -> None:
    """One power step of a basis, columns in the order of their eigenvalues; `following` (rows or columns) with them."""
    basis = state[f"{side}_basis"]
    ahead = state[f"{side}_statistic"] @ basis
    # Stable, so that equal values (a matrix without gradient) keep their order everywhere.
    order = (basis * ahead).sum(-2).argsort(dim=-1, descending=True, stable=True)
    columns = order.unsqueeze(-2)
    for name in following:
        entries = state[name]
        index, dim = (order.unsqueeze(-1), -2) if side == "left" else (columns, -1)
        entries.copy_(entries.take_along_dim(index, dim))
    basis.copy_(torch.linalg.qr(ahead.take_along_dim(columns, -1))[0])
