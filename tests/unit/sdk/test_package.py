"""The package as somebody sees it who types its name in a shell."""

import workflow_sdk


def test_completion_offers_every_public_name() -> None:
    assert set(workflow_sdk.__all__) <= set(dir(workflow_sdk))


def test_every_name_that_is_offered_exists() -> None:
    assert all(hasattr(workflow_sdk, name) for name in dir(workflow_sdk))
