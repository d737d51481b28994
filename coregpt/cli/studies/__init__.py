"""What commands on a study do: plan it, train it, conclude, confirm, verify."""
