"""One question at several sizes: the trend of the gap, a report of its own."""
