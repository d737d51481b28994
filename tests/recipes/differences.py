"""Where a recipe of this repository is known to differ from its source, and why."""

MERGED = "weights that are apart here are one tensor there"
PADDED = "the embedding has the head's 47 padding rows here, which no token reaches"
UNUSED = "the source has a second number in layers without a table, which nothing uses"
BF16 = "weights are fp32 here; products of a pass are bf16"
TEXT = "FineWeb here; `coregpt data prepare` makes shards of any other text"
SUM = "losses are means here, which moves the weight of epsilons alone"
BANK = "the source's bank has empty slices, which nothing reads"
NETWORK = "one network makes all of the source's coefficients; here each technique has its own"
WIDER = "evaluation has the window of its moment here"
FP8 = "no product is in FP8 in this recipe; `fp8` would round so"
UNREAD = "what gets no gradient in the source (a compressor, the importance of tokens) is not here"
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
    ("e_short_r23", "head.fp8_scales"): "no product is in FP8 in this recipe; `fp8` would round so",
    ("e_short_r23", "seq_len.val"): "evaluation has the training's context here",
    **{
        (name, "loss.reduction"): SUM
        for name in ("e_short_r23", "e_short_head", "f_medium_head", "g_opt_36", "g_opt_46")
    },
    ("h_coregpt_default", "loss.reduction"): SUM,
    **{
        ("e_short_head", f"params.{item}"): BANK for item in ("total", "attn_matrices.qk_bank", "attn_matrices.vo_bank")
    },
    **{("e_short_head", f"params.padding.{item}"): BANK for item in ("qk_bank", "vo_bank", "mlp_bank")},
    **{("e_short_head", f"shape.{item}"): BANK for item in ("qk_bank", "vo_bank", "mlp_bank")},
    ("e_short_head", "params.mlp_matrices.bank"): BANK,
    ("e_short_head", "params.tensors"): MERGED,
    **{("e_short_head", f"gates.mudd_{item}"): NETWORK for item in ("w2", "b", "gate_w2", "gate_b", "gate_scale")},
    ("e_short_head", "params.gates"): f"{NETWORK}, dc_lite's of 49,152 among them",
    ("e_short_head", "params.total_without_padding"): NETWORK,
    ("e_short_head", "params.unused"): "nothing unused is here; layer 10 has a gate for its table as others have",
    (
        "e_short_head",
        "params.scalars",
    ): "biases of networks, and shares of embedding and n-grams, are counted as scalars here",
    ("e_short_head", "scalars.sa_smear_skip"): UNUSED.replace("a table", "attention"),
    ("e_short_head", "init.mudd_bias_effective"): "of these, what other techniques say: 0.5 of layer 7 is taken back, "
    "n-grams have 0.05, the stream its scales; nothing is mixed into the last layer's values",
    ("e_short_head", "init.gate_bias_effective"): "the skip begins twice as open here; all others begin so",
    ("e_short_head", "seq_len.max_document.stages"): "the limit is one for the whole run here",
    ("e_short_head", "windows.val_final_long"): WIDER,
    (
        "e_short_head",
        "loss.prefix_weight",
    ): "not in this recipe: `prefix_loss` needs a table of the tokenizer as an input",
    ("e_short_head", "head.fp8_scales"): FP8,
    ("f_medium_r8", "params.total"): f"{PADDED}; {UNUSED}",
    ("f_medium_r8", "params.tensors"): MERGED,
    ("f_medium_r8", "params.embed"): PADDED,
    ("f_medium_r8", "params.value_tables"): PADDED,
    ("f_medium_r8", "params.scalars"): f"{UNUSED}, and weights of skips that are not there",
    ("f_medium_r8", "scalars.layout"): "they begin so here; those that nothing uses are not here",
    ("f_medium_r8", "optim.muon.tensors"): MERGED,
    ("f_medium_r8", "vocab.rows.embed_and_tables"): PADDED,
    (
        "f_medium_r8",
        "arch.pre_attention_norm",
    ): "there is one here, whose factor the norms of q, k and v take away again",
    ("f_medium_r8", "dtype"): BF16,
    (
        "f_medium_head",
        "scalars.main",
    ): "the source has three more: its tensor is most likely filled up to a multiple of 8",
    ("f_medium_head", "optim.adam.tensors"): MERGED,
    ("f_medium_head", "optim.normuon.tensors"): MERGED,
    ("f_medium_head", "windows.val_final_long"): WIDER,
    ("f_medium_head", "optim.adam.state_dtype"): "moments are fp32 here",
    ("g_opt_36", "dtype"): "the embedding is fp32 here",
    ("g_opt_46", "dtype"): "the embedding is fp32 here",
    ("g_opt_46", "init.std.biases_qkv_fc"): "biases start at zero here",
    ("g_opt_46", "ema_nesterov"): "the factor is that of the matrices' rate here, which falls earlier; all else is so",
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
    **{
        (f"h_gptlab_{size}", f"params.{item}"): why
        for size in ("XS", "S")
        for item, why in {
            "total": f"{PADDED}; {UNUSED}",
            "tensors": MERGED,
            "embed": PADDED,
            "value_tables": PADDED,
            "scalars": UNUSED,
        }.items()
    },
    ("a_mup", "sweep.decay"): "the last 800 steps fall in a straight line here",
    ("a_mup", "sweep.warmup"): "the first step is at 1/200 here, there at 0",
    **{
        (f"h_nanopoor_run{run}", item): why
        for run in (4, 6)
        for item, why in {
            "params.total": UNREAD,
            "params.trainable": UNREAD,
            "params.tensors": f"{UNREAD}; experts of a layer are one tensor",
            "params.attn_without_gradient": UNREAD,
            "params.expert_bias": "it is no parameter here, and counts what was chosen",
            "optim.adamw.params": UNREAD,
            "init.intra_block_positions": UNREAD,
            "sched.adamw": "the ten steps of warmup begin at a tenth here; the cosine is that",
        }.items()
    },
}
