"""What the baseline against itself came to, where somebody asked (`coregpt placebo`)."""
