"""The loop, its steps and evaluations, updates, ranks and checkpoints."""
