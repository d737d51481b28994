"""The baseline with fewer tokens beside it: gains as steps saved."""
