"""A first workflow: ten lines of Python, ten of YAML."""
