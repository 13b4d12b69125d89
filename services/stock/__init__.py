"""Items, and their reservations for orders."""
