"""The execution-orchestrator: executions, tasks, events, timers and the queue."""
