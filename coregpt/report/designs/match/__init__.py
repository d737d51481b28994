"""Arms that were matched before the first run: what they were given, and how it came out."""
