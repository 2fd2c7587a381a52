"""Place a graph on a grid: a row for each task, and a lane for each set of tasks that others need together.

Tasks that are needed by the same tasks share one lane: the needed tasks join it, and the tasks that need them
leave it. So a hundred tasks between two others take the width of three lanes, not of a hundred. A line comes
in if it enters a dot from above or from the left, or ends beside it to the right. All other lines go out. If
the grid has no column left for a lane, the lane is cut, and its tasks name in words what they need.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from workflowctl.presentation.graph_tasks import GraphTask, depth_first, layers

UP, DOWN, LEFT, RIGHT = 1, 2, 4, 8
# For wider drawings, an order that finds the end of each chain first is easier to follow than one by layers.
COMFORTABLE_COLUMNS = 8


@dataclass(slots=True)
class Cell:
    """The content of one cell of the grid. `lane` and `right_lane` are numbers, which select colours."""

    lines: int = 0
    is_task: bool = False
    crossed: bool = False
    """True if a lane goes down here, and a line passes beneath it."""
    lane: int | None = None
    right_lane: int | None = None
    """The lane of the line to the next cell, or None if there is no line."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the drawing, for one task or for lanes only."""

    cells: Sequence[Cell]
    task: GraphTask | None = None
    cut: bool = False
    """True if the task names in words what it needs."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The whole drawing."""

    rows: Sequence[Row]
    columns: int
    layer_count: int
    cut_count: int
    """The number of lanes that had no column."""


@dataclass(slots=True)
class _Lane:
    number: int
    sources: frozenset[str]
    targets_left: int
    column: int | None = None
    """The column of the lane. None before the lane begins, and if it is cut."""
    cut: bool = False
    sibling_column: int | None = None
    """The row of the last task that left the lane sideways."""

    @property
    def is_stem(self) -> bool:
        """True if it is the line down from a single task."""
        return len(self.sources) == 1


def layout(tasks: Sequence[GraphTask], max_columns: int) -> Layout:
    """Return the drawing in at most `max_columns` + 1 columns: by layers, if that is not too wide.

    Raise CycleError if tasks need each other in a circle.
    """
    found = layers(tasks)
    by_layer = _Grid(tasks, max_columns).draw([task for layer in found for task in layer], len(found))
    if by_layer.columns <= COMFORTABLE_COLUMNS and not by_layer.cut_count:
        return by_layer
    narrow = _Grid(tasks, max_columns).draw(depth_first(tasks), len(found))
    clearer = narrow.cut_count < by_layer.cut_count or 2 * narrow.columns <= by_layer.columns
    return narrow if clearer and narrow.cut_count <= by_layer.cut_count else by_layer


@dataclass(slots=True)
class _Out:
    """The lanes that begin at a task, and the lanes that the task joins."""

    stem: _Lane | None = None
    columns: dict[int, _Lane] = field(default_factory=dict)


class _Grid:
    """Places one task after the other, and records which lanes are open in which columns."""

    def __init__(self, tasks: Sequence[GraphTask], max_columns: int) -> None:
        self._open: list[_Lane | None] = [None] * max_columns
        self._lanes: dict[frozenset[str], _Lane] = {}
        self._outs: dict[str, list[_Lane]] = {task.id: [] for task in tasks}
        self._rows: list[Row] = []
        for task in tasks:
            if task.needs:
                self._lane_for(frozenset(task.needs)).targets_left += 1

    def _lane_for(self, sources: frozenset[str]) -> _Lane:
        lane = self._lanes.get(sources)
        if lane is None:
            lane = self._lanes[sources] = _Lane(len(self._lanes), sources, 0)
            for source in sources:
                self._outs[source].append(lane)
        return lane

    def draw(self, order: Sequence[GraphTask], layer_count: int) -> Layout:
        for task in order:
            self._place(task)
        used = [n for row in self._rows for n, c in enumerate(row.cells) if c.is_task or c.lines]
        cut = sum(lane.cut for lane in self._lanes.values())
        return Layout(self._rows, max(used, default=-1) + 1, layer_count, cut)

    def _place(self, task: GraphTask) -> None:
        lane = self._lanes[frozenset(task.needs)] if task.needs else None
        cut = lane is not None and lane.cut
        came = lane if lane is not None and not lane.cut else None
        if lane is not None:
            lane.targets_left -= 1
        column = self._column_of(task, came)
        begins_above = came is not None and came.column == column
        if begins_above and self._rows and self._rows[-1].cells[column].is_task:
            self._rows.append(Row(self._verticals()))
        cells = self._verticals()
        cells[column].is_task = True
        if came is not None and not begins_above:
            self._branch(cells, came, column)
        busy = came.column if came is not None else None
        if came is not None and not came.targets_left:
            assert came.column is not None
            self._open[came.column] = None
        out = self._outgoing(task, column, busy)
        entered_right = came is not None and came.column is not None and came.column > column
        self._rows.append(Row(cells, task, cut))
        self._leave(cells, column, out, entered_right)

    def _column_of(self, task: GraphTask, came: _Lane | None) -> int:
        """Return the column of the dot: the column after all lanes if there is no room."""
        if came is None:
            return self._free(0)
        assert came.column is not None
        has_stem = any(lane.is_stem for lane in self._outs[task.id])
        sibling = came.sibling_column
        if came.targets_left:
            return self._free(came.column + 1)
        if sibling is not None and not has_stem and self._is_free(sibling):
            return sibling
        return came.column if came.is_stem else min(self._free(0), came.column)

    def _is_free(self, column: int) -> bool:
        return column >= len(self._open) or self._open[column] is None

    def _free(self, start: int, besides: Iterable[int | None] = ()) -> int:
        columns = (n for n in range(start, len(self._open)) if self._open[n] is None and n not in besides)
        return next(columns, len(self._open))

    def _verticals(self) -> list[Cell]:
        cells = [Cell() if lane is None else Cell(UP | DOWN, lane=lane.number) for lane in self._open]
        return [*cells, Cell()]

    def _branch(self, cells: list[Cell], came: _Lane, column: int) -> None:
        """Draw the line from the lane to a dot beside it."""
        assert came.column is not None
        to_right = column > came.column
        cells[came.column].lines = UP | (DOWN if came.targets_left else 0) | (RIGHT if to_right else LEFT)
        cells[column].lines |= LEFT if to_right else RIGHT
        _line(cells, came.column, column, came.number)
        came.sibling_column = column if to_right else None

    def _outgoing(self, task: GraphTask, column: int, busy: int | None) -> _Out:
        """Begin the new lanes of this row, each in its own column."""
        out = _Out()
        for lane in self._outs[task.id]:
            if lane.is_stem and column < len(self._open):
                out.stem, lane.column = lane, column
                self._open[column] = lane
        for lane in self._outs[task.id]:
            if lane.column is None and not lane.cut:
                free = self._free(column + 1, (column, busy))
                lane.cut = lane.is_stem or free == len(self._open)
                if not lane.cut:
                    lane.column, self._open[free] = free, lane
                    out.columns[free] = lane
            elif lane is not out.stem and lane.column is not None:
                out.columns[lane.column] = lane
        return out

    def _leave(self, cells: list[Cell], column: int, out: _Out, entered_right: bool) -> None:
        """Draw the lines out of a dot: to the right on its own row if that is free, else on a row beneath."""
        right = {c: lane for c, lane in out.columns.items() if c > column}
        beneath = {c: lane for c, lane in out.columns.items() if c < column}
        if entered_right:
            beneath, right = {**beneath, **right}, {}
        _join(cells, column, right)
        if out.stem is not None or beneath:
            cells[column].lines |= DOWN
            cells[column].lane = next(iter([out.stem] if out.stem else beneath.values())).number
        if beneath:
            row = self._verticals()
            row[column].lines = UP | (DOWN if out.stem is not None else 0)
            row[column].lane = next(iter(beneath.values())).number
            begun = {c for c in beneath if not cells[c].lines & DOWN}
            _join(row, column, beneath, begun)
            self._rows.append(Row(row))


def _join(cells: list[Cell], column: int, lanes: dict[int, _Lane], begun: set[int] | None = None) -> None:
    """Draw lines from a dot to lanes on both sides. Lanes that begin here go down, other lanes continue."""
    for target, lane in sorted(lanes.items(), key=lambda pair: -abs(pair[0] - column)):
        to_right = target > column
        is_new = target in begun if begun is not None else not cells[target].lines & UP
        if not is_new:
            cells[target].lines |= UP
        else:
            cells[target].lines &= ~UP
        passed = LEFT | RIGHT if cells[target].crossed else 0
        cells[target].lines |= DOWN | passed | (LEFT if to_right else RIGHT)
        cells[target].lane, cells[target].crossed = lane.number, False
        cells[column].lines |= RIGHT if to_right else LEFT
        _line(cells, column, target, lane.number)


def _line(cells: list[Cell], start: int, end: int, lane: int) -> None:
    """Draw a horizontal line between two cells, beneath the lanes that it meets."""
    low, high = sorted((start, end))
    for cell in cells[low:high]:
        cell.right_lane = lane
    for cell in cells[low + 1 : high]:
        if cell.lines & (UP | DOWN) and not cell.lines & (LEFT | RIGHT):
            cell.crossed = True
        elif not cell.lines:
            cell.lines, cell.lane = LEFT | RIGHT, lane
        elif not cell.crossed:
            cell.lines |= LEFT | RIGHT
