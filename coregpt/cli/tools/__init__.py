"""What the other commands do: techniques, calibration, schemas."""
