"""The work of the service: the pipeline of transitions, the dispatch of tasks, timers and repair."""
