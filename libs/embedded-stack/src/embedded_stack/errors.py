"""Errors for the user who starts the stack."""


class StackError(Exception):
    """The stack cannot start or continue. The message says what happened and what to do next."""


class PortTakenError(StackError):
    """Another program uses a port that the stack needs."""

    def __init__(self, port: int, variable: str) -> None:
        super().__init__(
            f"port {port} is taken by another program: stop that, or set {variable} to a free port"
        )
        self.port = port
        self.variable = variable
