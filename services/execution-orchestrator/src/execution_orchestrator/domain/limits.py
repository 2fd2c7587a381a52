"""Every limit of the engine, in one place."""

from datetime import timedelta
from typing import Final

MAX_FAN_OUT_INPUT_BYTES: Final = 64 * 1024 * 1024
"""The inputs of all items of one `for_each` together. One transaction writes them."""

MAX_FAN_OUT_OUTPUT_BYTES: Final = 8 * 1024 * 1024
"""The outputs of all items of one `for_each` together, if an expression reads them: to parse and bind them
takes over ten times as much memory. If no expression reads them, they have no common limit.
"""

MAX_INLINE_EVALUATION_BYTES: Final = 128 * 1024
"""JSON that an expression may read within a decision. If it reads more, a thread makes the evaluation,
outside of a transaction. To parse and bind this much takes about 5 ms, in which the event loop does nothing
else.
"""

MAX_OUTPUTS_OF_BATCH_BYTES: Final = 512 * 1024
"""The outputs of all executions in the answer to a batch of repeated starts, as JSON. As Values they may be
5.5 times as large.
"""

MAX_INLINE_EVALUATION_WORK: Final = 3_000_000
"""Steps (see workflow_expressions.limits) of an evaluation within a decision: about 30 ms. A thread makes a
larger evaluation.
"""

ITEM_WORK: Final = 15_000
"""Steps that each item of a fan-out counts, in addition to its expressions. So a thread evaluates over 200
items.
"""

MAX_FAILURE_TEXT_BYTES: Final = 32 * 1024
"""The message of a failure, and its details, each in UTF-8. Longer texts are cut."""

DEFAULT_CANCEL_GRACE: Final = timedelta(seconds=30)
"""The time that attempts in flight have to stop, if the caller sets none."""

MAX_CANCEL_GRACE: Final = timedelta(minutes=10)

DEFAULT_EXECUTION_TIMEOUT: Final = timedelta(hours=24)

DEFAULT_START_TO_CLOSE: Final = timedelta(minutes=5)

DEFAULT_QUEUE_TIMEOUT: Final = timedelta(seconds=300)
"""The longest time that a job waits in the queue. QUEUE_TIMEOUT sets it."""

DEFAULT_RETRY_ATTEMPTS: Final = 3
"""Retries after the first attempt; RETRY_ATTEMPTS sets it."""

MAX_BATCH_COMMANDS: Final = 512
"""Commands in one transaction of the pipeline."""

MAX_BATCH_WEIGHT: Final = 16 * 1024 * 1024
"""The weight of the work of one transaction; `application/engine/weight.py` defines the unit."""

MAX_LANE_COMMANDS: Final = 20_000
"""Commands that wait in one lane. More are refused as OVERLOADED."""

MAX_LANE_WEIGHT: Final = 256 * 1024 * 1024
"""The weight of the work that waits in one lane: at most 256 MiB of payloads."""

MAX_LOCKED_SECONDS: Final = 60.0
"""The longest time that a command waits for an execution that another transaction has locked."""

MAX_LIST_TASKS: Final = 1_000
"""Task runs in the FULL view of an execution."""

MAX_UNDECIDABLE_TRIES: Final = 5
"""Tries after which the engine quarantines an execution that it cannot decide."""

FIRST_UNDECIDABLE_PAUSE: Final = timedelta(seconds=1)
"""After a failed try, further tries do not count for this time, which doubles with each counted try. So a
cause that goes away within 15 s quarantines nothing.
"""

MAX_UNDECIDABLE_PAUSE: Final = timedelta(seconds=60)
"""The longest pause between two counted tries."""

UNDECIDABLE_TRIES_KEPT: Final = timedelta(minutes=10)
"""A replica forgets the tries of an execution if no other try follows within this time. It must be longer
than the longest pause between two tries of a timer.
"""

MAX_UNDECIDABLE_EXECUTIONS: Final = 10_000
"""Executions whose tries one replica counts at the same time. The others wait for their turn."""

MAX_QUARANTINE_REASON_BYTES: Final = 1024
"""The reason of a quarantine, in UTF-8. A longer text is cut."""
