"""Each arm's own setting, found before the test: response curves, and what the test allows for."""
