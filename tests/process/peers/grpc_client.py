"""Calls every method of grpc_server.py and prints one line for each: what came back."""

import sys

import grpc


def main():
    address, authority = sys.argv[1:3]
    options = [("grpc.default_authority", authority)]
    with grpc.insecure_channel(address, options) as channel:
        call = channel.unary_unary("/test.Echo/Unary")
        answer, state = call.with_call(b"world", timeout=10)
        trailers = {key: value for key, value in state.trailing_metadata()}
        print("unary", answer.decode(), trailers.get("x-trailer"))

        items = list(channel.unary_stream("/test.Echo/ServerStream")(b"100", timeout=10))
        print("server-stream", len(items), items[-1].decode())

        parts = (b"x" * 10_000 for _ in range(50))
        print("client-stream", channel.stream_unary("/test.Echo/ClientStream")(parts, timeout=10).decode())

        echoes = list(channel.stream_stream("/test.Echo/Both")(iter([b"a", b"b"]), timeout=10))
        print("both", b",".join(echoes).decode())

        try:
            channel.unary_unary("/test.Echo/Refuse")(b"", timeout=10)
            print("refuse was answered")
        except grpc.RpcError as error:
            print("refuse", error.code().name, error.details())


main()
