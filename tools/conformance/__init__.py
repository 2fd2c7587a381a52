"""Plays the orchestrator against any worker program, and names the rules of the session that it breaks."""
