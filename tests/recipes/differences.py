"""Where a recipe of this repository is known to differ from its source, and why."""

MERGED = "weights that are apart here are one tensor there"
PADDED = "the embedding has the head's 47 padding rows here, which no token reaches"
UNUSED = "the source has a second number in layers without a table, which nothing uses"
BF16 = "weights are fp32 here; products of a pass are bf16"
TEXT = "FineWeb here; `coregpt data prepare` makes shards of any other text"
NO_DECAY = "the source's group has weight decay 0, so nothing decays there either"

DIFFERENCES: dict[tuple[str, str], str] = {
    **{(f"b_nvidia_{kind}_12L", "params.tensors"): MERGED for kind in ("gpt", "ngpt")},
    ("b_nvidia_gpt_24L", "params.tensors"): MERGED,
    ("b_nvidia_gpt_12L", "optim.decayed.tensors"): MERGED,
    ("b_nvidia_gpt_24L", "optim.decayed.tensors"): MERGED,
    **{(f"b_nvidia_{kind}_{depth}L", "dtype"): BF16 for kind in ("gpt", "ngpt") for depth in (12, 24)},
    **{(f"b_nvidia_{kind}_{depth}L", "data"): TEXT for kind in ("gpt", "ngpt") for depth in (12, 24)},
    **{
        (f"b_nvidia_ngpt_{depth}L", f"optim.{item}"): NO_DECAY
        for depth in (12, 24)
        for item in ("decayed.tensors", "decayed.params", "undecayed.params")
    },
    ("c_nanogpt_nobias", "params.tensors"): MERGED,
    ("c_nanogpt_nobias", "optim.decayed.tensors"): MERGED,
    ("c_nanogpt_bias", "params.tensors"): MERGED,
    ("c_nanogpt_bias", "optim.decayed.tensors"): MERGED,
    ("c_nanogpt_bias", "optim.undecayed.tensors"): MERGED,
    ("d_llmc_124M_cuda", "params.tensors"): MERGED,
    ("d_llmc_124M_torch", "params.tensors"): MERGED,
    ("d_llmc_124M_torch", "optim.decayed.tensors"): MERGED,
    ("d_llmc_124M_cuda", "init.zero"): "the source's padding rows start at zero and stay out of its softmax",
    ("e_short_r23", "params.total"): f"{PADDED}; {UNUSED}",
    ("e_short_r23", "params.tensors"): MERGED,
    ("e_short_r23", "params.embed"): PADDED,
    ("e_short_r23", "params.value_tables"): PADDED,
    ("e_short_r23", "params.scalars"): UNUSED,
    ("e_short_r23", "scalars.attn_lambda"): UNUSED,
    ("e_short_r23", "optim.muon.tensors"): MERGED,
    ("e_short_r23", "vocab.rows.embed_and_tables"): PADDED,
    ("e_short_r23", "head.fp8_scales"): "the head's product is not in FP8 here",
    ("e_short_r23", "seq_len.val"): "evaluation has the training's context here",
    ("g_opt_36", "dtype"): "the embedding is fp32 here",
    ("h_coregpt_default", "params.total"): f"{PADDED}; {UNUSED}",
    ("h_coregpt_default", "params.tensors"): MERGED,
    ("h_coregpt_default", "params.embed"): PADDED,
    ("h_coregpt_default", "params.value_tables"): PADDED,
    ("h_coregpt_default", "params.scalars"): UNUSED,
    ("h_coregpt_default", "optim.muon.tensors"): MERGED,
    ("h_coregpt_default", "vocab.rows.embed_and_tables"): PADDED,
    ("h_coregpt_default", "seq_len.val"): "evaluation has the training's context here",
    ("h_coregpt_default", "optim.muon.momentum"): "300 steps of warmup do not fit into the default's 20",
    ("h_coregpt_default", "tokenizer"): "GPT-2's tokens here; `coregpt tokenizer train` makes one of its kind",
    ("h_gptlab_XS", "params.total"): f"{PADDED}; {UNUSED}",
    ("h_gptlab_XS", "params.tensors"): MERGED,
    ("h_gptlab_XS", "params.embed"): PADDED,
    ("h_gptlab_XS", "params.value_tables"): PADDED,
    ("h_gptlab_XS", "params.scalars"): UNUSED,
}
