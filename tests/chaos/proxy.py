"""Stands between a client and a server on 127.0.0.1 and does to their connections what networks do."""
import asyncio, socket, struct, threading


class Network:
    """All proxies of a run, in one thread."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def proxy(self, upstream):
        """upstream: a port of 127.0.0.1."""
        return asyncio.run_coroutine_threadsafe(Proxy.open(self, upstream), self.loop).result()

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()


class Proxy:
    def __init__(self, network, upstream):
        self.network, self.upstream, self.links = network, upstream, set()
        self.delay, self.lose = 0, None
        self.passing = asyncio.Event()
        self.passing.set()

    @classmethod
    async def open(cls, network, upstream):
        self = cls(network, upstream)
        self.server = await asyncio.start_server(self.accept, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def accept(self, client_reader, client_writer):
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        except OSError:
            client_writer.transport.abort()
            return
        link = Link(self, client_writer, server_writer)
        self.links.add(link)
        await asyncio.gather(link.pump(client_reader, server_writer, True), link.pump(server_reader, client_writer, False))
        self.links.discard(link)

    def _call(self, function, *arguments):
        done = threading.Event()

        def run():
            function(*arguments)
            done.set()
        self.network.loop.call_soon_threadsafe(run)
        done.wait()

    # --- what may be asked for, from any thread -----------------------------------------------------------------------
    def cut(self):
        """Every connection ends as if the other side had closed it."""
        self._call(lambda: [link.close() for link in list(self.links)])

    def reset(self):
        """Every connection ends with an RST to both sides."""
        self._call(lambda: [link.reset() for link in list(self.links)])

    def hold(self):
        """Nothing passes any more, and nobody is told: half-open connections. New ones are accepted, and silent."""
        self._call(self.passing.clear)

    def release(self, lost):
        """lost: what was held is reset, as by a router that has forgotten it."""
        if lost:
            self.reset()
        self._call(self.passing.set)

    def slow(self, seconds):
        """Everything takes so much longer, in both directions."""
        self.delay = seconds

    def lose_commit(self, when):
        """Of a PostgreSQL transaction, once: the client loses its connection, the server keeps its own for two seconds.

        "sent": when all is sent and the server is about to commit; "answered": when it says that it has.
        """
        self.lose = when


COPY_DONE, COMMITTED = b"c\0\0\0\4", b"COMMIT\0"


class Link:
    def __init__(self, proxy, client, server):
        self.proxy, self.client, self.server, self.mute = proxy, client, server, False

    async def pump(self, reader, writer, from_client):
        try:
            while data := await reader.read(65536):
                if self.proxy.delay:
                    await asyncio.sleep(self.proxy.delay)
                await self.proxy.passing.wait()
                if from_client and self.proxy.lose == "sent" and data.endswith(COPY_DONE):
                    writer.write(data)
                    await writer.drain()
                    await self.lose_client()
                    break
                if not from_client and self.proxy.lose == "answered" and COMMITTED in data:
                    await self.lose_client()
                    break
                if not self.mute:
                    writer.write(data)
                    await writer.drain()
        except OSError:
            pass
        if not self.mute:
            close(writer)

    async def lose_client(self):
        self.proxy.lose, self.mute = None, True
        abort(self.client)
        await asyncio.sleep(2)
        abort(self.server)

    def close(self):
        for writer in (self.client, self.server):
            close(writer)

    def reset(self):
        for writer in (self.client, self.server):
            abort(writer)


def close(writer):
    if not writer.transport.is_closing():
        writer.close()


def abort(writer):
    """An RST: a close with nothing to linger for."""
    sock = writer.get_extra_info("socket")
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except OSError:
        pass
    writer.transport.abort()
