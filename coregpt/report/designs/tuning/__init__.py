"""Settings found by trials before the test: what was tried, what was found, what it cost."""
