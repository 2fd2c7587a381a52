"""Tables in which each row is one line, whatever its texts contain."""

from __future__ import annotations

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from workflowctl.presentation.consoles import single


class PlainTable(Table):
    """A table without borders. The texts in its cells are not markup, and stay on one line."""

    def __init__(self) -> None:
        super().__init__(box=None, padding=(0, 2, 0, 0), header_style="dim")

    def add_row(self, *cells: RenderableType | None, **options: object) -> None:
        """Add a row."""
        super().add_row(*(single(cell) if isinstance(cell, str | Text) else cell for cell in cells))
