"""From a study file to runs on this machine: reading, counting, forecasting, declaring."""
