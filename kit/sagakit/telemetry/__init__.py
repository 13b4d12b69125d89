"""Traces, metrics and logs of a process.

`recorder` records what the core reports to its observer, by `spans` and `metrics`; services declare
metrics of their own with `instruments`. `tracing`, `prometheus` and `logging` export them.
"""
