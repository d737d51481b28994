"""Runs as processes: the launcher, its workers, where they live, what a person sees meanwhile."""
