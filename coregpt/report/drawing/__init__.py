"""Numbers, tables, pictures and markup, as text: how things look, with nothing decided."""
