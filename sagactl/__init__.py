"""The command-line tool: run, provision and inspect the suite."""
