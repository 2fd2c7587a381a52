"""The rules: each file has the commands of one subject."""
