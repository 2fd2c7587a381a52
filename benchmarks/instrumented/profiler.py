"""A sampling profiler of the main thread's processor time; it costs about one percent."""

import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType

INTERVAL_SECONDS = 0.002
START_SECONDS = 2.0
"""Processor time of the start of a service, mostly for imports; it is not sampled."""
SHOWN = 150


class Samples:
    """Counts for each function the samples with it at the top of the stack, and anywhere on the stack."""

    def __init__(self) -> None:
        self.taken = 0
        self.own: Counter[CodeType] = Counter()
        self.total: Counter[CodeType] = Counter()

    def take(self, _: int, frame: FrameType | None) -> None:
        """Handle SIGPROF."""
        if frame is None:
            return
        self.taken += 1
        self.own[frame.f_code] += 1
        seen = set()
        while frame is not None:
            seen.add(frame.f_code)
            frame = frame.f_back
        self.total.update(seen)

    def report(self) -> str:
        """Return two tables of shares: of own time, and of time including called functions."""
        own, total = "\n".join(self._lines(self.own)), "\n".join(self._lines(self.total))
        return f"{self.taken} samples\n\nown time\n{own}\n\nwith callees\n{total}\n"

    def _lines(self, counts: "Counter[CodeType]") -> list[str]:
        return [
            f"{count / max(self.taken, 1):7.2%}  {'/'.join(Path(code.co_filename).parts[-3:])}:"
            f"{code.co_firstlineno} {code.co_qualname if hasattr(code, 'co_qualname') else code.co_name}"
            for code, count in counts.most_common(SHOWN)
        ]


@contextmanager
def profiled(report: Path) -> Iterator[None]:
    """Sample until the process ends, then write the report."""
    samples = Samples()
    signal.signal(signal.SIGPROF, samples.take)
    signal.setitimer(signal.ITIMER_PROF, START_SECONDS, INTERVAL_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        report.write_text(samples.report())
