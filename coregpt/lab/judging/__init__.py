"""The loss that counts, measured where no technique was imported, of a model that is played in a process beside it."""
