"""Screenshots of a running suite for the documentation: `make screenshots`."""
