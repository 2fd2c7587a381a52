"""Runs the command line: `python -m embedded_stack`."""

from embedded_stack.cli import main

if __name__ == "__main__":
    main()
