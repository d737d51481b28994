"""A declared history of the noise: what it contributes."""
