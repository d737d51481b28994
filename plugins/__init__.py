"""The built-in techniques, one file each, in folders by the question they answer.

Where a technique lives is said in CONTRIBUTING.md. Another package looks like this one, with folders or without.
"""
