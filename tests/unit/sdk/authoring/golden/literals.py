from workflow_sdk import Workflow

workflow = Workflow("literals", labels={})
workflow.task("nothing", "noop", input=None)
workflow.task("empty", "noop", input={})
workflow.task("text", "noop", input="")
workflow.task("values", "noop", input={"": [1, -2.5, 1e300, True, None, (), "\u2028 \ufdd0 'x'", {"a": {}}]})
workflow.task(
    "within", "noop", when=workflow.input == {"": [1, 2.0, -3, 1e-7, True, None, (), "'\"${}\u007f"]}
)
workflow.output = None
