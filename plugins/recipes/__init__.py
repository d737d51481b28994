"""What do several changes do that were made for each other?"""
