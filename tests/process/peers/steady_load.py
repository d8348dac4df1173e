"""A steady rate of HTTP/1.1 requests over kept connections, reported in h2load's words.

Where h2load stands still once a server says `connection: close`, this connects again, as clients do.
SIGTERM ends it early, between two requests.
"""

import collections
import signal
import socket
import sys
import threading
import time

stopping = threading.Event()


class Client(threading.Thread):
    """One connection at a time, `rate` requests a second, for so many seconds."""

    def __init__(self, address, host, rate, seconds):
        super().__init__()
        self.address, self.rate, self.seconds = address, rate, seconds
        self.request = f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        self.connection = None
        self.statuses = collections.Counter()
        self.errors = []

    def run(self):
        begun = time.monotonic()
        for number in range(int(self.rate * self.seconds)):
            if stopping.wait(max(0, begun + number / self.rate - time.monotonic())):
                return
            try:
                self.statuses[self.exchange() // 100] += 1
            except (OSError, EOFError, ValueError) as error:
                self.errors.append((time.time(), error))
                self.connection = None

    def exchange(self):
        if self.connection is None:
            self.connection = socket.create_connection(self.address, timeout=15)
        self.connection.sendall(self.request)
        received = b""
        while b"\r\n\r\n" not in received:
            received += self.read()
        head, body = received.split(b"\r\n\r\n", 1)
        lines = head.lower().split(b"\r\n")
        headers = dict(line.split(b": ", 1) for line in lines[1:])
        while len(body) < int(headers[b"content-length"]):
            body += self.read()
        if headers.get(b"connection") == b"close":
            self.connection.close()
            self.connection = None
        return int(lines[0].split()[1])

    def read(self):
        data = self.connection.recv(65536)
        if not data:
            raise EOFError("closed before the answer was whole")
        return data


def main():
    address, host, rate, clients, seconds = sys.argv[1:6]
    name, port = address.rsplit(":", 1)
    each = int(rate) / int(clients)
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    threads = [Client((name, int(port)), host, each, int(seconds)) for _ in range(int(clients))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    statuses = sum((thread.statuses for thread in threads), collections.Counter())
    errors = [error for thread in threads for error in thread.errors]
    done = sum(statuses.values())
    print(f"requests: {done + len(errors)} total, {len(errors)} errored, 0 timeout")
    print("status codes: " + ", ".join(f"{statuses[kind]} {kind}xx" for kind in (2, 3, 4, 5)))
    kinds = collections.Counter(type(error).__name__ for _, error in errors)
    print("errors: " + ", ".join(f"{count} {kind}" for kind, count in kinds.items()))
    for when, error in errors[:10]:
        print(time.strftime("%H:%M:%S", time.gmtime(when)), repr(error))


main()
