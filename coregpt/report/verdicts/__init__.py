"""Each arm against the baseline: estimates, the verdict by fixed rules, and its words."""
