"""The services as they are, with counters that only a benchmark needs, and a profiler where it is asked for.

Each module here is run in the place of the service that it is named after: `python -m ... serve`.
"""
