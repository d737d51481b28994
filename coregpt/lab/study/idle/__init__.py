"""Techniques that do nothing where they are, and arms whose numbers must be equal, known before the first run."""
