"""What several techniques share; nothing here is a technique."""
