from workflow_sdk import Workflow, cel, index, item

workflow = Workflow("fan-out")
regions = workflow.task("regions", "geo.regions")
literal = workflow.task("literal", "geo.ping", for_each=["eu", regions.output.home, 3, None])
count = workflow.task("count", "geo.count", for_each=regions.output.names, max_parallel=0)
workflow.task(
    "pairs",
    "geo.pair",
    for_each=cel(f"{regions.output.names}.map(n, {{'name': n, 'pings': {literal.output}}})"),
    max_parallel=2,
    input=[item.name, item["two words"], count.output[index], count.output[0], f"#{index + 1}"],
)
workflow.output = count.output
