"""Which weights are evaluated, if not the last ones?"""
