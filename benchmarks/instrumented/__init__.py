"""The services with counters for benchmarks, and with a profiler on request.

Each module here runs in place of the service of the same name: `python -m ... serve`.
"""
