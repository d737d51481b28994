"""What commands on runs do: list, repeat and delete them, and read their ledger."""
