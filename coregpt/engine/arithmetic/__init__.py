"""How fast and how precisely: fused operations, products, precision, compilation."""
