"""The command line of WorkflowSystem: publish workflows, start, watch and control executions."""
