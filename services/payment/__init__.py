"""What orders are charged, through a payment provider."""
