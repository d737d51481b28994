"""Reading the logs of runs that CoreGPT did not make."""
