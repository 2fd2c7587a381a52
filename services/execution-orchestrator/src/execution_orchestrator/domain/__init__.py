"""The rules of executions. Pure: no I/O, no clock, no randomness but what is passed in.

Start at state_machine.py.
"""
