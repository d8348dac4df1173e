"""A gRPC server by grpcio: unary, both kinds of streaming, and an error, all on plain bytes."""

import sys
from concurrent import futures

import grpc


def unary(request, context):
    context.set_trailing_metadata((("x-trailer", "unary"),))
    return b"hello " + request


def server_stream(request, context):
    for number in range(int(request)):
        yield b"item %d" % number


def client_stream(requests, context):
    return b"%d bytes" % sum(len(request) for request in requests)


def both(requests, context):
    for request in requests:
        yield b"echo " + request


def refuse(request, context):
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not like this")


def main():
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
        "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
        "Both": grpc.stream_stream_rpc_method_handler(both),
        "Refuse": grpc.unary_unary_rpc_method_handler(refuse),
    }
    server = grpc.server(futures.ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Echo", handlers)])
    if server.add_insecure_port(sys.argv[1]) == 0:
        sys.exit(f"cannot listen on {sys.argv[1]}")
    server.start()
    server.wait_for_termination()


main()
