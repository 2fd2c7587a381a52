"""The commands. Each module adds its own commands to the app."""
