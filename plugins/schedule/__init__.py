"""What changes with the progress of the run?"""
