"""A pooler before PostgreSQL, as small as one can be: clients are let in, and get a session of the server's for a transaction, or for good."""
import random, select, socket, struct, threading

SSL_REQUEST, GSS_REQUEST, CANCEL = 80877103, 80877104, 80877102
SAID = {"server_version": "15.0", "client_encoding": "UTF8", "standard_conforming_strings": "on", "in_hot_standby": "off",
        "default_transaction_read_only": "off", "server_encoding": "UTF8", "DateStyle": "ISO, MDY", "integer_datetimes": "on"}


def message(kind, body=b""):
    return kind + struct.pack("!I", len(body) + 4) + body


def exactly(link, count):
    got = b""
    while len(got) < count:
        more = link.recv(count - len(got))
        if not more:
            raise OSError("closed")
        got += more
    return got


def take(link):
    kind, size = struct.unpack("!cI", exactly(link, 5))
    return kind, exactly(link, size - 4)


class Pooler:
    """mode: transaction or session. to: the path of the server's unix socket, where nobody asks for a password."""

    def __init__(self, to, mode):
        self.to, self.mode, self.idle, self.mutex = to, mode, [], threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def server(self, startup):
        with self.mutex:
            if self.idle:
                return self.idle.pop()
        link = socket.socket(socket.AF_UNIX)
        link.connect(self.to)
        link.sendall(startup)
        while take(link)[0] != b"Z":
            pass
        return link

    def let_in(self, client):
        """The client's startup packet, as the server is to get it."""
        while True:
            size, code = struct.unpack("!II", exactly(client, 8))
            rest = exactly(client, size - 8)
            if code in (SSL_REQUEST, GSS_REQUEST):
                client.sendall(b"N")
                continue
            if code == CANCEL:
                raise OSError("cancel")
            break
        client.sendall(message(b"R", struct.pack("!I", 0)) +
                       b"".join(message(b"S", f"{name}\0{value}\0".encode()) for name, value in SAID.items()) +
                       message(b"K", struct.pack("!II", random.getrandbits(31), random.getrandbits(31))) + message(b"Z", b"I"))
        return struct.pack("!II", size, code) + rest

    def serve(self, client):
        server = None
        try:
            startup = self.let_in(client)
            while True:
                ready = select.select([client] + ([server] if server else []), [], [])[0]
                if client in ready:
                    kind, body = take(client)
                    if kind == b"X":
                        return
                    server = server or self.server(startup)
                    server.sendall(message(kind, body))
                if server in ready:
                    kind, body = take(server)
                    client.sendall(message(kind, body))
                    if (kind, body) == (b"Z", b"I") and self.mode == "transaction":
                        with self.mutex:
                            self.idle.append(server)
                        server = None
        except OSError:
            pass
        finally:
            client.close()
            if server:
                server.close()

    def close(self):
        self.listener.close()
        for link in self.idle:
            link.close()
