"""Every limit of the engine, in one place."""

from datetime import timedelta
from typing import Final

MAX_FAN_OUT_INPUT_BYTES: Final = 64 * 1024 * 1024
"""Of the inputs of all items of one `for_each` together: they are written in one transaction."""

MAX_FAN_OUT_OUTPUT_BYTES: Final = 8 * 1024 * 1024
"""Of the outputs of all items of one `for_each`, if an expression reads them: to parse and bind them takes
over ten times as much memory. Outputs that no expression reads have no limit together.
"""

MAX_INLINE_EVALUATION_BYTES: Final = 128 * 1024
"""Of the JSON that an expression reads. An evaluation on more is made on a thread, outside of a transaction:
to parse and bind that much takes about 5 ms, in which the event loop does nothing else.
"""

MAX_OUTPUTS_OF_BATCH_BYTES: Final = 512 * 1024
"""Of the outputs of all executions in the answer to a batch of repeated starts, as JSON. As Values they may
be 5.5 times as large.
"""

MAX_INLINE_EVALUATION_WORK: Final = 3_000_000
"""Steps (see workflow_expressions.limits) of an evaluation within a decision: about 30 ms. A larger one is
made on a thread.
"""

ITEM_WORK: Final = 15_000
"""Steps that an item of a fan-out counts beside its expressions: over 200 items are made on a thread."""

MAX_FAILURE_TEXT_BYTES: Final = 32 * 1024
"""Of a failure's message, and of its details, in UTF-8; what is longer is cut."""

DEFAULT_CANCEL_GRACE: Final = timedelta(seconds=30)
"""How long attempts in flight may take to stop where the caller does not say."""

MAX_CANCEL_GRACE: Final = timedelta(minutes=10)

DEFAULT_EXECUTION_TIMEOUT: Final = timedelta(hours=24)

DEFAULT_START_TO_CLOSE: Final = timedelta(minutes=5)

DEFAULT_QUEUE_TIMEOUT: Final = timedelta(seconds=300)
"""How long a job may wait in the queue; QUEUE_TIMEOUT sets it."""

DEFAULT_RETRY_ATTEMPTS: Final = 3
"""Retries after the first attempt; RETRY_ATTEMPTS sets it."""

MAX_BATCH_COMMANDS: Final = 512
"""Of one transaction of the pipeline."""

MAX_BATCH_WEIGHT: Final = 16 * 1024 * 1024
"""Of the work of one transaction; see `application/engine/weight.py` for the unit."""

MAX_LANE_COMMANDS: Final = 20_000
"""That wait in one lane; what comes on top is refused as OVERLOADED."""

MAX_LANE_WEIGHT: Final = 256 * 1024 * 1024
"""Of the work that waits in one lane: at most 256 MiB of payloads."""

MAX_LOCKED_SECONDS: Final = 60.0
"""How long a command waits for an execution that another transaction has locked."""

MAX_LIST_TASKS: Final = 1_000
"""Task runs in the FULL view of an execution."""

MAX_UNDECIDABLE_TRIES: Final = 5
"""The number of undecidable tries after which the engine quarantines an execution."""

FIRST_UNDECIDABLE_PAUSE: Final = timedelta(seconds=1)
"""After a try that could not be decided, further tries do not count for this time; it doubles each time. So a
cause that goes away within 15 s quarantines nothing.
"""

MAX_UNDECIDABLE_PAUSE: Final = timedelta(seconds=60)
"""The pause between two counted tries grows no further."""

UNDECIDABLE_TRIES_KEPT: Final = timedelta(minutes=10)
"""A replica forgets the tries of an execution if no further one follows within this time. It must exceed the
longest pause between two tries of a timer.
"""

MAX_UNDECIDABLE_EXECUTIONS: Final = 10_000
"""Executions whose tries one replica counts at the same time; the others wait for their turn."""

MAX_QUARANTINE_REASON_BYTES: Final = 1024
"""Of the reason of a quarantine, in UTF-8; what is longer is cut."""
