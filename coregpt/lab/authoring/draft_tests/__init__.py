"""The test of each draft, as it is written beside the copy."""
