"""Tests, intervals, power and designs: arrays in, numbers out. Knows nothing of runs or models."""
