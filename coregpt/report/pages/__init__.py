"""A report as files and as lines for a terminal."""
