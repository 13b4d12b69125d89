"""What a process lets be seen of itself: traces, metrics, logs.

The core of the kit and the services use `spans`, `measures` and `metrics`; `tracing`, `exposition` and `log`
are where it leaves the process.
"""
