"""How do weights start, and how does a step move them?"""
