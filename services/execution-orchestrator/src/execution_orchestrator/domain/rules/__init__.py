"""The rules. Each file has the commands of one subject."""
