"""Whole studies: their facts collected, their report made from them, and a published report checked."""
