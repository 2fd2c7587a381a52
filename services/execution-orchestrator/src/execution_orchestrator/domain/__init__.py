"""The rules of executions: pure functions. Time and random values are arguments; there is no I/O.

Start at state_machine.py.
"""
