"""A first handler, and a worker for it: `python -m examples.hello.hello`."""

from workflow_sdk import Worker, task


@task("hello.greet")
def greet(person: dict[str, str]) -> str:
    """Return a greeting for a person."""
    return f"Hello, {person['name']}!"


if __name__ == "__main__":
    Worker(tasks=[greet]).run_until_signalled()
