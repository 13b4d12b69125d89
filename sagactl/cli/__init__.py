"""The commands: what each takes and prints; `sagactl.__main__` lists them."""
