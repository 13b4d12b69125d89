"""The command-line tool: runs the suite on this machine, sets it up anywhere, looks into it."""
