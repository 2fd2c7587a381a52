from datetime import timedelta

from workflow_sdk import Defaults, RetryPolicy, Timeouts, Workflow


class CardRefusedError(Exception):
    pass


workflow = Workflow(
    "policies",
    input_schema={"type": "object", "properties": {"price": {"pattern": "^\\$${price}"}}},
    execution_timeout=timedelta(days=2, seconds=3, milliseconds=4),
    defaults=Defaults(retry_policy=RetryPolicy()),
)
workflow.task(
    "charge",
    "bank.charge",
    queue="bank",
    retry_policy=RetryPolicy(
        initial_interval=timedelta(milliseconds=250),
        backoff_coefficient=1.5,
        maximum_interval=timedelta(seconds=30),
        maximum_attempts=10,
        jitter=0,
        non_retryable_error_types=[CardRefusedError, "bank.Closed"],
        maximum_lost_attempts=0,
    ),
    timeouts=Timeouts(
        schedule_to_start=timedelta(seconds=10),
        start_to_close=timedelta(minutes=10),
        heartbeat=timedelta(seconds=20),
    ),
    output_schema={"type": "object", "required": ["receipt"], "properties": {"receipt": {"type": "string"}}},
)
