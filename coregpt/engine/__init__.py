"""The physics: an edit here may change a number, so this package is hashed into every run's identity."""
