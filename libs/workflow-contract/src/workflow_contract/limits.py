"""The limits that the contract states. The limits of one service are in its own `limits.py`."""

from typing import Final

MAX_PAYLOAD_BYTES: Final = 1024 * 1024
"""Of one payload (an input, an output, a definition), as JSON in UTF-8."""

MAX_PAYLOAD_VALUE_BYTES: Final = 3 * 512 * 1024
"""Of one payload as a `google.protobuf.Value`, which may be 5.5 times as large as its JSON.

An input and an output together fit into a message of 4 MiB with this limit, so every payload that is kept can
be read.
"""

MAX_PAYLOAD_DEPTH: Final = 32
"""The most lists and objects within one another in a payload: protobuf refuses to read deeper ones back."""

MAX_FAN_OUT_ITEMS: Final = 10_000
"""The most items of one `for_each`."""

MAX_MESSAGE_DEPTH: Final = 100
"""The most messages within one another that protobuf reads. An object of a Struct takes three."""
