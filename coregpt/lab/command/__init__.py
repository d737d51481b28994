"""Runs of programs that are not ours: commands in git repositories, executed and read, never trained by core."""
