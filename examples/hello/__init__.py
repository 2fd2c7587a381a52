"""A first workflow of one's own: ten lines of Python, ten of YAML."""
