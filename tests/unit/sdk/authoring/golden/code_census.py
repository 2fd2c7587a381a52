from datetime import timedelta

from workflow_sdk import Defaults, RetryPolicy, Timeouts, Workflow

from examples.code_census.handlers import count_package, list_packages, report

ROOT = {
    "type": "string",
    "minLength": 1,
    "description": "The directory to count. Default, the standard library of the Python that runs"
    " the workers.",
}

workflow = census = Workflow(
    "code-census",
    description="Files, lines, functions and classes of a Python source tree, package by package.",
    owner="examples",
    labels={"example": "code-census"},
    input_schema={"type": "object", "additionalProperties": False, "properties": {"root": ROOT}},
    defaults=Defaults(
        retry_policy=RetryPolicy(
            initial_interval=timedelta(seconds=0.5),
            maximum_attempts=3,
            non_retryable_error_types=[NotADirectoryError],
        ),
        timeouts=Timeouts(start_to_close=timedelta(seconds=120)),
    ),
)
packages = census.task("list_packages", list_packages, input=census.input)
counts = census.task("count_package", count_package, for_each=packages.output.packages)
result = census.task("report", report, input={"root": packages.output.root, "counts": counts.output})
census.output = result.output
