"""Bookkeeping: studies, identities, run folders, launching. Cannot change a number, so it is not hashed."""
