"""The GPT that plugins change, and what core puts in where none claims a place."""
