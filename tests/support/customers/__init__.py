"""Customers of the gateway, whose every call is recorded: those of the chaos tests and of the simulation."""
