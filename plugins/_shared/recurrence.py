"""Memories of fixed size that are read and written token by token, computed some tokens at once.

A document separator empties them, where the run masks documents: `documents` (B, T) numbers, or None.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def earlier(x: Tensor, back: int, documents: Tensor | None) -> Tensor:
    """x (B, T, C) of `back` >= 1 tokens ago; zeros where there is no such token in the document."""
    if back >= x.shape[1]:
        return torch.zeros_like(x)
    past = F.pad(x[:, :-back], (0, 0, back, 0))
    if documents is None:
        return past
    same = F.pad(documents[:, back:] == documents[:, :-back], (back, 0))
    return past * same.unsqueeze(-1)


def convolved(x: Tensor, weight: Tensor, documents: Tensor | None) -> Tensor:
    """Each channel of x (B, T, C) mixed with its own past: sum_i weight[i] x_(t - i), weight (kernel, C)."""
    y = x * weight[0]
    for back in range(1, len(weight)):
        y = y + weight[back] * earlier(x, back, documents)
    return y


def numbered(documents: Tensor | None, like: Tensor, size: int) -> Tensor:
    """Document numbers (B, T + padding) of a row `like` (B, T, ...), the last one repeated up to whole chunks."""
    if documents is None:
        documents = torch.zeros(like.shape[:2], dtype=torch.long, device=like.device)
    return torch.cat((documents, documents[:, -1:].expand(-1, -like.shape[1] % size)), 1)


def memory(
    r: Tensor, log_w: Tensor, p: Tensor, b: Tensor, k: Tensor, v: Tensor, documents: Tensor | None, size: int
) -> Tensor:
    """y_t = S_t r_t (B, T, H, Dv) of the memory S_t = S_(t-1) diag(w_t) + (S_(t-1) p_t) b_t^T + v_t k_t^T, S_0 = 0.

    r, log_w <= 0, p, b, k are (B, T, H, Dk), v is (B, T, H, Dv); `size` tokens are computed at once. Decays are only
    ever divided as exp of a difference that is not positive, so none can overflow. Keeps (B, H, size, size, Dk) numbers
    for each chunk: on a GPU a kernel of its own would be many times faster.
    """
    length = r.shape[1]
    at = numbered(documents, r, size)
    rows = [F.pad(part.transpose(1, 2), (0, 0, 0, -length % size)) for part in (r, log_w, p, b, k, v)]
    state, before, read = r.new_zeros(r.shape[0], r.shape[2], v.shape[-1], r.shape[-1]), at[:, :1], []
    for start in range(0, at.shape[1], size):
        here = slice(start, start + size)
        y, state = _chunk([part[:, :, here] for part in rows], at[:, here], before, state)
        before = at[:, here][:, -1:]
        read.append(y)
    return torch.cat(read, 2)[:, :, :length].transpose(1, 2)


def _chunk(rows: list[Tensor], at: Tensor, before: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Reads (B, H, C, Dv) and the memory afterwards, of rows (B, H, C, ...) in documents `at` (B, C).

    With u_t = S_(t-1) p_t, what earlier tokens i of the chunk gave to it is a triangular system in u.
    """
    r, log_w, p, b, k, v = rows
    logs = log_w.cumsum(2)
    earlier_logs = logs - log_w  # without the token's own decay
    carries = (at == before)[:, None, :, None]
    same = (at[:, :, None] == at[:, None, :])[:, None]
    gaps = earlier_logs.unsqueeze(3) - logs.unsqueeze(2)  # (B, H, C, C, Dk): t, i
    decay = gaps.masked_fill(~same.tril(-1).unsqueeze(-1), float("-inf")).exp()
    asked = torch.stack((p, r * log_w.exp()), -1)  # (B, H, C, Dk, 2): by the write of t, by its read
    to_b, read_b = ((decay * b.unsqueeze(2)) @ asked).unbind(-1)
    to_k, read_k = ((decay * k.unsqueeze(2)) @ asked).unbind(-1)
    found = (p * earlier_logs.exp() * carries) @ state.mT + to_k @ v
    system = torch.eye(to_b.shape[-1], dtype=to_b.dtype, device=to_b.device) - to_b
    u = torch.linalg.solve_triangular(system, found, upper=False, unitriangular=True)
    y = (r * logs.exp() * carries) @ state.mT + read_b @ u + read_k @ v
    y = y + (r * b).sum(-1, keepdim=True) * u + (r * k).sum(-1, keepdim=True) * v
    left = (logs[:, :, -1:] - logs).masked_fill(~same[:, :, -1].unsqueeze(-1), float("-inf")).exp()
    after = state * (logs[:, :, -1:].exp() * carries[:, :, -1:]) + u.mT @ (b * left) + v.mT @ (k * left)
    return y, after
