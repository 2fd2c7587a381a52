"""Run the command line with `python -m workflowctl`."""

from workflowctl.app import main

if __name__ == "__main__":
    main()
