"""Facts for a report from logs of runs that CoreGPT did not make."""
