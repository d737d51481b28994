"""The code of techniques: where it is found, what it imports, and which of its lines an error comes from."""
