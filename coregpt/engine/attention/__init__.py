"""Softmax attention under masks and score rules, on every kind of device."""
