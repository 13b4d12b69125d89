"""The pictures of the documentation, made of a suite that runs: `make screenshots`."""
