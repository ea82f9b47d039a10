"""A TCP relay in front of the agent (or another server) that keeps every request head byte for byte, and on which connection it came.

It reads the bytes on their way and changes none, so a client behind it and the agent in front of it see each
other's wire as they would without it.
"""

import contextlib
import dataclasses
import socket
import threading

END_OF_HEAD = b"\r\n\r\n"


@dataclasses.dataclass(frozen=True)
class Request:
    connection: int
    head: bytes

    @property
    def line(self):
        """Method, target and version."""
        return self.head.split(b"\r\n", 1)[0].decode("latin-1")

    @property
    def header_names(self):
        lines = self.head[: -len(END_OF_HEAD)].split(b"\r\n")[1:]
        return {line.split(b":", 1)[0].decode("latin-1").lower() for line in lines}


class Recorder:
    """Listens on a free port of 127.0.0.1 and relays to one port of the same address."""

    def __init__(self, agent_port):
        self._agent = ("127.0.0.1", agent_port)
        self._lock = threading.Lock()
        self._requests = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def requests(self):
        with self._lock:
            return list(self._requests)

    def close(self):
        # A blocked accept() does not notice close() alone.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self):
        number = 0
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            number += 1
            threading.Thread(target=self._relay, args=(client, number), daemon=True).start()

    def _relay(self, client, number):
        try:
            agent = socket.create_connection(self._agent, timeout=5)
        except OSError:
            client.close()
            return
        agent.settimeout(None)
        for end in (client, agent):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answers = threading.Thread(target=_copy, args=(agent, client, lambda _: None), daemon=True)
        answers.start()
        _copy(client, agent, self._keeper(number))
        answers.join()
        client.close()
        agent.close()

    def _keeper(self, number):
        """Cuts one connection into heads. Pods send GET without a body, so a head follows a head; a body, where there
        is one, stands in front of the head that follows it."""
        pending = b""

        def keep(data):
            nonlocal pending
            pending += data
            while END_OF_HEAD in pending:
                head, pending = pending.split(END_OF_HEAD, 1)
                with self._lock:
                    self._requests.append(Request(number, head + END_OF_HEAD))

        return keep


def _copy(source, sink, seen):
    """Passes bytes on until the source ends, then says so to the sink."""
    try:
        while data := source.recv(65536):
            # Kept before it is passed on: once a client has its answer, its request is on record.
            seen(data)
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        # One side reset the connection: the other must learn it too.
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
