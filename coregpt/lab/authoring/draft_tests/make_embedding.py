import torch


def test_the_first_vectors_are_a_multiple_of_the_tables_rows(build, batch):
    run, (tokens, _) = build(draft={"factor": 3.0}), batch()
    rows = run.assembly.params["embedding.weight"][tokens]
    found = run.model.embedding(tokens, None)
    torch.testing.assert_close(found, 3 * rows)
