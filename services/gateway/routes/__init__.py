"""The routes, by resource: each is one function."""
