"""The secrets of claims."""

import os

CLAIM_TOKEN_BYTES = 16


def new_claim_token() -> bytes:
    """Return the secret of a new claim: 16 random bytes of the operating system, which nobody can guess."""
    return os.urandom(CLAIM_TOKEN_BYTES)
