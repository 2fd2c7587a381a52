"""ExecutionService: the mutations and the reads, put together."""

from workflowsystem.execution.v1 import execution_service_pb2_grpc

from execution_orchestrator.entrypoints.mutations import Mutations
from execution_orchestrator.entrypoints.reads import Reads


class ExecutionServicer(Mutations, Reads, execution_service_pb2_grpc.ExecutionServiceServicer):
    """Serves the contract; each half has its own file."""

    def __init__(self, mutations: Mutations, reads: Reads) -> None:
        self.__dict__.update(vars(mutations) | vars(reads))
