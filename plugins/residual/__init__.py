"""How do layers and branches join the residual stream?"""
