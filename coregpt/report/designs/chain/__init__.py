"""Chains of studies: what one study's verdict is worth among all that were tried on its baseline."""
