from workflow_sdk import Workflow, cel

workflow = Workflow("dependencies")
a = workflow.task("a", "noop")
b = workflow.task("b", "noop")
c = workflow.task("c", "noop", after=[])
workflow.task("all", "noop", after=[c, a], input=[b.output.x, b.output.y, a.status], when=c.output.ok)
workflow.task(
    "in_cel", "noop", when=cel('tasks.later.output != "tasks.b" && tasks["c"].status == \'tasks.a\'')
)
workflow.task("in_text", "noop", input={"deep": [{"down": f"see {c.output.url} and {a.output}"}]})
workflow.task("items", "noop", for_each=b.output.map(lambda each: each + a.output))
workflow.task("later", "noop", input="tasks.a.output and ${tasks.b.output}")
workflow.output = a.output
