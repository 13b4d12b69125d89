"""The whole suite in one process on virtual time, with everything going wrong that can: `make simulate`."""
