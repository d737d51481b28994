"""Studies that may decide arms before all seeds: the looks again, from the runs."""
