"""Studies whose arms branch off the baseline: what they share, what that saved."""
