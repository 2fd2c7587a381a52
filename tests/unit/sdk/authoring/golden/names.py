from workflow_sdk import Workflow

workflow = Workflow("names-of-all-kinds")
loop = workflow.task("import", "python.import", input=workflow.input)
workflow.task(
    "read",
    "noop",
    input={
        "dashes": workflow.input["card-number"],
        "reserved": [workflow.input["in"], workflow.input.package, loop.output.loop],
        "underscore": workflow.input["_id"].value,
        "methods": workflow.input.items.size.output.status.format,
        "quotes": workflow.input['say "hi" \\ '],
        "unicode": workflow.input["größe"]["🐍"]["\n"],
        "computed": loop.output[workflow.input.key],
        "deep": workflow.input.a[0][12].b,
        "${key} as it is": workflow.input["${x}"],
        "in a text": f"{workflow.input['}']} 'and' {loop.output['${']}",
    },
)
