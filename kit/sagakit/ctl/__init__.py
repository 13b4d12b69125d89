"""`sagactl`, the command line of a project: runs and inspects its services. Needs the extra `ctl`."""
