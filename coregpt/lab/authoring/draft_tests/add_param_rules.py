def test_the_embeddings_rate_is_multiplied_and_no_other(build):
    rates = {path: rule.lr for path, rule in build(draft={"lr": 5.0}).assembly.rules.items()}
    assert rates["embedding.weight"] == 5
    assert rates["blocks.0.mlp.up.weight"] == rates["head.out.weight"] == 1
