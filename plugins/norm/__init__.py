"""How are vectors kept at one size?"""
