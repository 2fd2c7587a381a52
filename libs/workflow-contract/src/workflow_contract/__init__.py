"""The meaning of the contracts in `protos/` beyond their messages: names, limits, values, Redis.

Services, the SDK and the tools import it, so that each of these things is said once.
"""
