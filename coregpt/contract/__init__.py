"""What plugins and engine agree on. No training code."""
