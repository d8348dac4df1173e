"""An application in a pod, on the address given: HTTP on 8080, which answers with the client's address and
the identity that the proxy tells, with metrics under /own-metrics, or in two pieces some seconds apart under
/slow; and TCP on 9090, where it speaks first.
"""

import http.server
import socket
import sys
import threading
import time

# Longer than a proxy that ends serves what is new.
PAUSE = 7

address = sys.argv[1]
family = socket.AF_INET6 if ":" in address else socket.AF_INET
accepted = 0


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/slow":
            return self.answer_slowly(b"begun ", b"ended ")
        identity = self.headers.get("x-forwarded-client-cert", "-")
        text = f"{self.client_address[0]} {identity}\n"
        if self.path == "/own-metrics":
            text = f"# TYPE own_connections gauge\nown_connections {accepted}\n# EOF\n"
        body = text.encode()
        self.send_response(200)
        self.send_header("content-type", "text/plain")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer_slowly(self, first, second):
        self.send_response(200)
        self.send_header("content-length", str(len(first + second)))
        self.end_headers()
        self.wfile.write(first)
        time.sleep(PAUSE)
        self.wfile.write(second)

    def log_message(self, *arguments):
        pass


def speak_first():
    global accepted
    listener = socket.create_server((address, 9090), family=family)
    while True:
        connection, client = listener.accept()
        accepted += 1
        connection.sendall(f"hello {client[0]}\n".encode())
        connection.close()


threading.Thread(target=speak_first, daemon=True).start()
http.server.ThreadingHTTPServer.address_family = family
server = http.server.ThreadingHTTPServer((address, 8080), Handler)
print("ready", flush=True)
server.serve_forever()
