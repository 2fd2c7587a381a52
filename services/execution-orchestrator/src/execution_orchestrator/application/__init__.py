"""What the service does: the pipeline of transitions, the dispatch of tasks, timers and repair."""
