"""Stands in front of an Elasticsearch, counts what it answers to whom, and answers in its place when told to."""
import collections, http.client, http.server, json, threading


class Interposer:
    """seen: how often which status was answered, of whole requests ("429") and of items within 200 ("item 429")."""

    def __init__(self, upstream):
        self.upstream, self.seen, self.lock = upstream.split("://", 1)[1], collections.Counter(), threading.Lock()
        self.instead, self.authorizations = None, set()  # what clients showed to be let in
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                outer.handle(self)
            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads, block_on_close = True, False

            def handle_error(self, *_):
                pass  # a client or a server that went away

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, status, kind=None, reason="", times=-1, path="/", least=0):
        """Requests whose "METHOD path" has this in it, and which have at least so many bytes, get this error from now on (times: only so many of
        them); status None: none does any more."""
        with self.lock:
            self.instead = None if status is None else [status, kind, reason, times, path, least]

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def handle(self, request):
        body = request.rfile.read(int(request.headers.get("content-length") or 0))
        self.authorizations.add(request.headers.get("authorization"))
        answer = self.made_up(f"{request.command} {request.path}", len(body))
        if answer is None:
            answer = self.forward(request, body)
        status, headers, content = answer
        self.count(request.path, status, headers, content)
        request.send_response(status)
        for name, value in headers:
            request.send_header(name, value)
        request.send_header("content-length", str(len(content)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(content)

    def made_up(self, path, size):
        with self.lock:
            if self.instead is None or self.instead[4] not in path or size < self.instead[5]:
                return None
            status, kind, reason, times, *_ = self.instead
            self.instead[3] -= 1
            if times == 1:
                self.instead = None
        error = {"root_cause": [{"type": kind, "reason": reason}], "type": kind, "reason": reason}
        return status, [("content-type", "application/json")], json.dumps({"error": error, "status": status}).encode()

    def forward(self, request, body):
        connection = http.client.HTTPConnection(self.upstream, timeout=120)
        try:
            kept = {name: value for name, value in request.headers.items() if name.lower() not in ("host", "connection", "accept-encoding")}
            connection.request(request.command, request.path, body, kept)
            answer = connection.getresponse()
            content = answer.read()
            dropped = ("content-length", "connection", "transfer-encoding", "content-encoding")
            return answer.status, [pair for pair in answer.getheaders() if pair[0].lower() not in dropped], content
        except OSError:
            request.close_connection = True
            return 502, [], b"nobody is behind this proxy"
        finally:
            connection.close()

    def count(self, path, status, headers, content):
        found = [str(status)]
        if "_bulk" in path and status == 200:
            try:
                found += [f"item {status}" for item in json.loads(content)["items"] for status in [next(iter(item.values()))["status"]]]
            except (ValueError, KeyError):
                found.append("200 without items")  # filter_path may leave them out when all went well
        with self.lock:
            self.seen.update(found)
