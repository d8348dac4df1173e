"""A WebSocket echo server by the `websockets` package."""

import sys

from websockets.sync.server import serve


def echo(connection):
    for message in connection:
        connection.send(message)


host, port = sys.argv[1].rsplit(":", 1)
with serve(echo, host, int(port)) as server:
    server.serve_forever()
