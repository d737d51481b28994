"""What a study declares: its file, settings, techniques, identity, and the runs that it comes to."""
