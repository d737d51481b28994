"""The catalogue of techniques as pages: cards, prices, measured effects, and which go together."""
