"""What each design of a study adds to the report, one folder each."""
