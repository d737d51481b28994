"""A value of the metric to reach: which arms do, and how soon."""
