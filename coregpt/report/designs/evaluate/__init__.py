"""Outcomes beside the metric, of finished runs: secondary, whatever they say."""
