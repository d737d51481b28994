"""Deciding before all runs are in: planned looks, a test that may be looked at after each seed, giving up."""
