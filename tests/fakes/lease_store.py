"""The part of the store of leases that looks at the primary."""


class FakeLeaseStore:
    """`answer` is the name of the primary, None for a standby, or an error."""

    def __init__(self, answer: str | Exception | None) -> None:
        self.answer = answer

    async def primary(self) -> str | None:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer
