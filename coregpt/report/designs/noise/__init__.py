"""How much luck is in one run of the baseline, a report of its own."""
