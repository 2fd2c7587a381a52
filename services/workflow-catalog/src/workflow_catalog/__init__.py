"""Workflow definitions, their versions and their lifecycle. Start at `domain/workflow.py`."""
