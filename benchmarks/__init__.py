"""How fast the engine is, and what it costs: `python -m benchmarks` (see docs/benchmarks.md)."""
