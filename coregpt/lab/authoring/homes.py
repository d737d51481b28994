"""In which folder of the repository a technique lives: by the question it answers."""

from types import MappingProxyType

QUESTIONS = MappingProxyType(
    {
        "attention": "What may a token look at, and what does it take from there?",
        "position": "What becomes of queries and keys before they meet, and how do they know where tokens stand?",
        "norm": "How are vectors kept at one size?",
        "residual": "How do layers and branches join the residual stream?",
        "embedding": "How do tokens become vectors?",
        "mlp": "What does a layer compute for each token by itself?",
        "linear": "What is a linear map?",
        "head": "How do the last vectors become logits?",
        "loss": "What does training minimise?",
        "optimizer": "How do weights start, and how does a step move them?",
        "schedule": "What changes with the progress of the run?",
    }
)
"""First line of a folder's docstring."""

HOMES = MappingProxyType(
    {
        "make_attention": "attention",
        "make_attend": "attention",
        "add_masks": "attention",
        "add_score_rules": "attention",
        "make_position": "position",
        "make_norm": "norm",
        "make_stack": "residual",
        "make_block": "residual",
        "make_connection": "residual",
        "make_embedding": "embedding",
        "make_mlp": "mlp",
        "make_activation": "mlp",
        "make_linear": "linear",
        "make_head": "head",
        "add_logit_transforms": "head",
        "make_loss": "loss",
        "add_losses": "loss",
        "make_update": "optimizer",
        "make_decay": "optimizer",
        "add_param_rules": "optimizer",
        "add_companions": "optimizer",
        "add_schedules": "schedule",
    }
)
"""Folder of each hook, in the order of the table in CONTRIBUTING.md."""
