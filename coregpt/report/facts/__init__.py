"""What report.json holds, as data: facts about a study and its runs, everything found, and its canonical text."""
