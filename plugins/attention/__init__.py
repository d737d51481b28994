"""What may a token look at, and what does it take from there?"""
