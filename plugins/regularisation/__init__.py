"""What is left out at random while training, so that nothing is relied on alone?"""
