"""Both ends of connections in a pod whose traffic is captured.

    captured.py serve UID FAMILY:NAME:PORT ...
                                             listen as that user; answer each connection with NAME
                                             and the port that it was made to, as the kernel tells it
    captured.py ask UID ADDRESS PORT [SOURCE | udp]
                                             as that user and group, print what answers, or "nobody"

FAMILY is tcp, tproxy (a listener that takes connections to any address), udp, or tcp-local and
udp-local, which listen on 127.0.0.1 only.
"""

import os
import socket
import sys
import threading

IP_TRANSPARENT = 19
IPV6_TRANSPARENT = 75
PATIENCE = 2


def listen(family, port):
    kind = socket.SOCK_DGRAM if family.startswith("udp") else socket.SOCK_STREAM
    if family.endswith("-local"):
        listener = socket.socket(socket.AF_INET, kind)
        listener.bind(("127.0.0.1", port))
        return listener
    listener = socket.socket(socket.AF_INET6, kind)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    if family == "tproxy":
        listener.setsockopt(socket.IPPROTO_IP, IP_TRANSPARENT, 1)
        listener.setsockopt(socket.IPPROTO_IPV6, IPV6_TRANSPARENT, 1)
    listener.bind(("::", port))
    return listener


def answer_connections(listener, name):
    while True:
        connection, _ = listener.accept()
        connection.sendall(f"{name} {connection.getsockname()[1]}\n".encode())
        connection.close()


def answer_datagrams(listener, name, port):
    while True:
        _, client = listener.recvfrom(512)
        listener.sendto(f"{name} {port}\n".encode(), client)


def become(user):
    os.setgroups([])
    os.setgid(int(user))
    os.setuid(int(user))


def serve(user, *places):
    become(user)
    for place in places:
        family, name, port = place.split(":")
        listener = listen(family, int(port))
        if listener.type == socket.SOCK_DGRAM:
            arguments = (listener, name, int(port))
            threading.Thread(target=answer_datagrams, args=arguments).start()
        else:
            listener.listen()
            threading.Thread(target=answer_connections, args=(listener, name)).start()
    print("ready", flush=True)


def ask(user, address, port, how=None):
    become(user)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_DGRAM if how == "udp" else socket.SOCK_STREAM
    with socket.socket(family, kind) as client:
        client.settimeout(PATIENCE)
        if how not in (None, "udp"):
            client.bind((how, 0))
        try:
            client.connect((address, int(port)))
            if how == "udp":
                client.send(b"?")
            print(client.recv(64).decode().strip() or "nobody")
        except OSError:
            print("nobody")


if sys.argv[1] == "serve":
    serve(*sys.argv[2:])
else:
    ask(*sys.argv[2:])
