"""What does a layer compute for each token by itself?"""
