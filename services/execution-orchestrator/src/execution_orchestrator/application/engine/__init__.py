"""The group commit: commands become decisions, and many decisions become one transaction."""
