"""The built-in techniques, one file each, in folders by the question they answer.

Where a technique lives is said in CONTRIBUTING.md. A third party's package looks like this one; it may do without folders.
"""
