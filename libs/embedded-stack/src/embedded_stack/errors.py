"""What goes wrong when the stack starts, told to the person who started it."""


class StackError(Exception):
    """The stack cannot start or go on. The message says what happened and what to do next."""


class PortTakenError(StackError):
    """A port the stack wants to listen on belongs to another program."""

    def __init__(self, port: int, variable: str) -> None:
        super().__init__(
            f"port {port} is taken by another program: stop that, or set {variable} to a free port"
        )
        self.port = port
        self.variable = variable
