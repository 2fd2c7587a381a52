"""The speed of the engine, and the cost of an execution: `python -m benchmarks` (see docs/benchmarks.md)."""
