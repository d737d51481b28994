"""What commands on reports do: pages and tables again, and reports on logs of other trainers."""
