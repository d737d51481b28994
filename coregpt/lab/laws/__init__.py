"""The laws that every technique obeys, and the tiny model on which they are checked."""
