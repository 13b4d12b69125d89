"""Charges of orders, through a payment provider."""
