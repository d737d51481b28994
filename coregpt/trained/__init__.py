"""What a finished run's model is good for: its text, its losses in detail, a file of it, what two of them differ in."""
