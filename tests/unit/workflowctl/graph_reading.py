"""Reads a drawn graph back from its text, as the eye does: what each task needs.

A lane is a line that goes down. The line across a row belongs to the row's dot, or to the one just above:
where it meets a lane with a corner or a branch they are joined; where the lane is drawn through it they
are not.
"""

from collections import defaultdict

UP, DOWN, LEFT, RIGHT = 1, 2, 4, 8
GLYPHS = {
    "│": UP | DOWN,
    "─": LEFT | RIGHT,
    "╭": DOWN | RIGHT,
    "╮": DOWN | LEFT,
    "╰": UP | RIGHT,
    "╯": UP | LEFT,
    "├": UP | DOWN | RIGHT,
    "┤": UP | DOWN | LEFT,
    "┬": DOWN | LEFT | RIGHT,
    "┴": UP | LEFT | RIGHT,
    "┼": UP | DOWN | LEFT | RIGHT,
}
DOTS = "●◆◉◈"
Place = tuple[int, int]


class Drawing:
    """The lines of a drawing without head and legend. `needs` is what they say, by the ids at the dots."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._lanes: dict[Place, Place] = {}
        self._sources: dict[Place, set[str]] = defaultdict(set)
        self._targets: dict[Place, set[str]] = defaultdict(set)
        self._dots: dict[int, tuple[int, str]] = {}
        for row, line in enumerate(lines):
            self._note(row, line)
        for row in range(len(lines)):
            self._read_row(row)
        assert self._sources.keys() == self._targets.keys(), "a line that leads nowhere"
        self.needs: dict[str, set[str]] = {name: set() for _, name in self._dots.values()}
        for lane, names in self._targets.items():
            for name in names:
                self.needs[name] |= self._sources[lane]

    def _at(self, row: int, column: int) -> str:
        """The glyph of a cell; what is beside the drawing is nothing."""
        inside = 0 <= row < len(self._lines) and 0 <= 2 * column < len(self._lines[row])
        glyph = self._lines[row][2 * column] if inside else " "
        return glyph if glyph in GLYPHS or glyph in DOTS else " "

    def _lane(self, row: int, column: int) -> Place:
        place = row, column
        while self._lanes[place] != place:
            place = self._lanes[place]
        return place

    def _note(self, row: int, line: str) -> None:
        for column in range(len(line) // 2 + 1):
            glyph = self._at(row, column)
            if glyph in DOTS and glyph != " ":
                self._dots[row] = (column, next(word for word in line.split() if word[0].isalpha()))
            self._check_ends(row, column, glyph)
            if GLYPHS.get(glyph, 0) & (UP | DOWN):
                self._lanes[row, column] = row, column
                if GLYPHS[glyph] & UP and GLYPHS.get(self._at(row - 1, column), 0) & DOWN:
                    self._lanes[row, column] = self._lane(row - 1, column)

    def _check_ends(self, row: int, column: int, glyph: str) -> None:
        """What a glyph reaches out to reaches back."""
        lines, line = GLYPHS.get(glyph, 0), self._lines[row]
        if lines in (0, UP | DOWN):
            return
        for side, bit in ((-1, LEFT), (1, RIGHT)):
            place = 2 * column + side
            reached = 0 <= place < len(line) and line[place] == "─"
            assert reached == bool(lines & bit), f"row {row}: {glyph!r} in {line!r}"

    def _read_row(self, row: int) -> None:
        if row in self._dots:
            column, name = self._dots[row]
            if GLYPHS.get(self._at(row - 1, column), 0) & DOWN:
                self._targets[self._lane(row - 1, column)].add(name)
            if GLYPHS.get(self._at(row + 1, column), 0) & UP and GLYPHS[self._at(row + 1, column)] & DOWN:
                self._sources[self._lane(row + 1, column)].add(name)
        elif "─" in self._lines[row]:
            column, name = self._dots[row - 1]
            assert GLYPHS[self._at(row, column)] & UP, "a line across that belongs to no dot"
        else:
            return
        self._follow(row, column, name, -1)
        self._follow(row, column, name, 1)

    def _follow(self, row: int, column: int, name: str, step: int) -> None:
        """Along the line from a dot: the lanes that it meets, until it ends."""
        line = self._lines[row]
        while 0 <= (between := 2 * column + step) < len(line) and line[between] == "─":
            column += step
            lines = GLYPHS[self._at(row, column)]
            if lines in (UP | DOWN, LEFT | RIGHT):
                continue
            from_above = not lines & DOWN or (step < 0 and row in self._dots)
            (self._targets if from_above else self._sources)[self._lane(row, column)].add(name)
