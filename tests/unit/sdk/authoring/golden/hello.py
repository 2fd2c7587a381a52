from workflow_sdk import Workflow, item

from examples.hello.hello import greet as greet_handler

workflow = Workflow("hello")
greet = workflow.task("greet", greet_handler, for_each=workflow.input.names, input={"name": item})
workflow.output = {"greetings": greet.output}
