"""The whole suite in one process on virtual time, with injected faults: `make simulate`."""
