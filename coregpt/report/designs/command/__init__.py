"""Programs that are not ours: their code, what may be trusted of their numbers, how arms differ."""
