"""A server with one worker, which answers one connection at a time, to its end.

HUP makes it run itself anew with the same listening socket, as servers do that
upgrade in place; USR1 makes it close the socket, USR2 listen again.
"""
import os
import signal
import socket
import sys
import time


def listen():
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("0.0.0.0", 8000))
    sock.listen()
    return sock


def upgrade(*_):
    os.set_inheritable(server.fileno(), True)
    os.environ["SOCKET"] = str(server.fileno())
    os.execv(sys.executable, [sys.executable, *sys.argv])


def close(*_):
    server.close()


def reopen(*_):
    global server
    server = listen()


# Before it listens: whoever is answered may signal.
signal.signal(signal.SIGHUP, upgrade)
signal.signal(signal.SIGUSR1, close)
signal.signal(signal.SIGUSR2, reopen)
inherited = os.environ.get("SOCKET")
server = socket.socket(fileno=int(inherited)) if inherited else listen()
print("upgraded" if inherited else "started", flush=True)
while True:
    # A handler runs between two calls only, and so none may last: a signal that comes just
    # before it would wait for its end.
    try:
        server.settimeout(0.1)
        connection, _ = server.accept()
    except TimeoutError:
        continue
    except OSError:  # closed
        time.sleep(0.1)
        continue
    with connection:
        try:
            while connection.recv(4096):
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nHello\n")
        except ConnectionError:  # who asked has gone: no reason to end
            pass
