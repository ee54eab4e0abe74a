"""The methods of A2A's gRPC service, and the library that speaks gRPC: for those who serve it and those who call it.

Source: A2A 1.0.1, 10 "gRPC protocol binding".
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from a2a.types import a2a_pb2
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from a2a_gateway.operations import Operation

SERVICE: Final = "lf.a2a.v1.A2AService"


class GrpcMissing(Exception):
    """The extra `grpc` is not installed."""


@dataclass(frozen=True, slots=True)
class Method:
    """One method of the service, by what the protocol's own description says."""

    operation: Operation
    request: type[Message]
    response: type[Message]
    is_streamed: bool


METHODS: Final[Mapping[str, Method]] = {
    f"/{SERVICE}/{one.name}": Method(
        Operation(one.name), GetMessageClass(one.input_type), GetMessageClass(one.output_type), one.server_streaming
    )
    for one in a2a_pb2.DESCRIPTOR.services_by_name["A2AService"].methods
}


def grpc_library() -> Any:
    """Return grpcio, which has no types; raises `GrpcMissing`."""
    try:
        return importlib.import_module("grpc")
    except ImportError:
        raise GrpcMissing("gRPC needs grpcio: pip install agent-gateway-server[grpc]") from None
