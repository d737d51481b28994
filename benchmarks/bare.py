"""What CoreGPT is compared with: the same GPT in one file of plain PyTorch, no hooks, no plugins, no logging.

Learned positions, pre-RMSNorm without gain, causal SDPA, GELU, untied head, AdamW, gradient clipping. It reads
the same rows from memory, so that data costs neither side anything the other does not pay.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Block(nn.Module):
    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.out = (nn.Linear(dim, dim, bias=False) for _ in range(4))
        self.up, self.down = nn.Linear(dim, 4 * dim, bias=False), nn.Linear(4 * dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, dim = x.shape
        h = F.rms_norm(x, (dim,))
        q, k, v = (f(h).view(batch, length, self.heads, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(batch, length, dim))
        return x + self.down(F.gelu(self.up(F.rms_norm(x, (dim,)))))


class BareGPT(nn.Module):
    def __init__(self, vocab: int, dim: int, depth: int, heads: int, context: int):
        super().__init__()
        self.dim = dim
        self.tokens, self.positions = nn.Embedding(vocab, dim), nn.Embedding(context, dim)
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(depth))
        self.head = nn.Linear(dim, vocab, bias=False)
        for param in self.parameters():
            nn.init.normal_(param, std=0.02)

    def forward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        x = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        logits = self.head(F.rms_norm(x, (self.dim,))).float()
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


class BareLoop:
    """`step(tokens, targets)` does one update and returns the loss as a number."""

    def __init__(self, model: BareGPT, bf16: bool):
        self.model, self.bf16 = model, bf16
        self.optimizer = torch.optim.AdamW(model.parameters(), 2e-3, (0.9, 0.95), 1e-8, 0.1, fused=True)

    def step(self, tokens: Tensor, targets: Tensor) -> float:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            loss = self.model(tokens, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.item()
