"""Screens that leave a clear loser early: the decision again, from the runs."""
