"""What commands on a finished model do."""
