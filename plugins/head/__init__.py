"""How do the last vectors become logits?"""
