"""Says some things to a WebSocket echo server, and prints what came back."""

import socket
import sys

from websockets.sync.client import connect

address, authority = sys.argv[1:3]
host, port = address.rsplit(":", 1)
stream = socket.create_connection((host, int(port)))
with connect(f"ws://{authority}/", sock=stream, open_timeout=10) as connection:
    for message in ["hello", "x" * 100_000, b"\x00\x01binary"]:
        connection.send(message)
        answer = connection.recv(timeout=10)
        print("same" if answer == message else f"different: {answer[:40]!r}")
