"""What CoreGPT is compared with on a GPU: the speedrun's optimizer baseline in one file of plain PyTorch.

Half-truncated rotary positions, QK-norm, squared ReLU, pre-RMSNorm without gain, no biases, zero output projections and
head, logits capped at 15 (z / sqrt(1 + (z / 15)^2)), Muon (12 steps of Newton-Schulz) for matrices, AdamW for the rest.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CAP, BASE = 15.0, 1024.0


class Block(nn.Module):
    cos: Tensor
    sin: Tensor

    def __init__(self, dim: int, heads: int, context: int):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.out = (nn.Linear(dim, dim, bias=False) for _ in range(4))
        self.up, self.down = nn.Linear(dim, 4 * dim, bias=False), nn.Linear(4 * dim, dim, bias=False)
        quarter = dim // heads // 4
        turning = BASE ** (-torch.arange(quarter, dtype=torch.float64) / (quarter - 1))
        angles = torch.arange(context)[:, None, None] * torch.cat((turning, torch.zeros(quarter, dtype=torch.float64)))
        self.register_buffer("cos", angles.cos().float(), persistent=False)
        self.register_buffer("sin", angles.sin().float(), persistent=False)

    def turn(self, x: Tensor) -> Tensor:
        """Unit-RMS heads (B, T, H, D), turned by their position."""
        x = F.rms_norm(x, (x.shape[-1],))
        cos, sin = self.cos[: x.shape[1]], self.sin[: x.shape[1]]
        a, b = x.chunk(2, -1)
        return torch.cat((a * cos + b * sin, b * cos - a * sin), -1).to(x.dtype)

    def forward(self, x: Tensor) -> Tensor:
        h = F.rms_norm(x, (x.shape[-1],))
        q, k, v = (f(h).unflatten(-1, (self.heads, -1)) for f in (self.q, self.k, self.v))
        q, k, v = (t.transpose(1, 2) for t in (self.turn(q).to(v.dtype), self.turn(k).to(v.dtype), v))
        x = x + self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(-2))
        return x + self.down(F.relu(self.up(F.rms_norm(x, (x.shape[-1],)))).square())


class SpeedrunGPT(nn.Module):
    def __init__(self, vocab: int, dim: int, depth: int, heads: int, context: int):
        super().__init__()
        self.embedding, self.head = nn.Embedding(vocab, dim), nn.Linear(dim, vocab, bias=False)
        self.blocks = nn.ModuleList(Block(dim, heads, context) for _ in range(depth))
        for name, param in self.named_parameters():
            last = name.split(".")[-2]
            nn.init.normal_(param, std=0.0 if last in ("out", "down", "head") else 0.02)

    def forward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x)
        logits = self.head(F.rms_norm(x, (x.shape[-1],))).float()
        logits = logits * torch.rsqrt(1 + (logits / CAP).square())
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def polar(g: Tensor) -> Tensor:
    """12 steps of x <- 2x - 1.5 (x x^T) x + 0.5 (x x^T)^2 x, bf16 on CUDA."""
    tall = g.shape[0] > g.shape[1]
    x = g.mT if tall else g
    x = x / (x.norm() + 1e-7)
    x = x.bfloat16() if g.is_cuda else x
    for _ in range(12):
        gram = x @ x.mT
        x = 2.0 * x + (-1.5 * gram + 0.5 * (gram @ gram)) @ x
    return (x.mT if tall else x).to(g.dtype)


class SpeedrunLoop:
    """`step(inputs, targets)` does one update from rows in passes of `rows`; nothing waits for the device."""

    def __init__(self, model: SpeedrunGPT, rows: int, bf16: bool, compiled: bool, lr: float, muon: float, decay: float):
        self.model, self.rows, self.bf16, self.muon, self.decay = model, rows, bf16, muon, decay
        self.call = torch.compile(model, dynamic=False) if compiled else model
        self.matrices = [p for p in model.blocks.parameters() if p.dim() == 2]
        self.momenta = [torch.zeros_like(p) for p in self.matrices]
        rest: Sequence[Tensor] = (model.embedding.weight, model.head.weight)
        self.adam = torch.optim.AdamW(rest, lr, (0.8, 0.95), 1e-10, decay, fused=True)

    def step(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Inputs and targets (rows, context) on any device; returns the mean loss (0-d), not yet read."""
        device = self.model.head.weight.device
        total = torch.zeros((), device=device)
        passes = len(inputs) // self.rows
        for x, y in zip(inputs.split(self.rows), targets.split(self.rows), strict=True):
            with torch.autocast(device.type, torch.bfloat16, enabled=self.bf16):
                loss = self.call(x.to(device, non_blocking=True), y.to(device, non_blocking=True)) / passes
            loss.backward()
            total += loss.detach()
        self.adam.step()
        with torch.no_grad():
            for p, m in zip(self.matrices, self.momenta, strict=True):
                assert p.grad is not None
                m.lerp_(p.grad, 0.05)
                update = polar(p.grad.lerp(m, 0.95)) * math.sqrt(max(1.0, p.shape[0] / p.shape[1]))
                p.mul_(1 - self.muon * self.decay).sub_(update, alpha=self.muon)
        self.model.zero_grad(set_to_none=True)
        return total
