"""How do tokens become vectors?"""
