#!/usr/bin/python3
"""A small stand-in for Elasticsearch that can misbehave on request.

    elastic_fake.py with COMMAND...      runs COMMAND with SLUICE_TEST_ELASTICSEARCH and SLUICE_TEST_FAKE set to its address

It knows what the sink asks for and nothing else, and is strict about it. POST /_fake takes a list of faults, one used up by each
request that it is meant for: {"on": "bulk" | "control" | "search", "do": ..., "times": n}, and settings: {"max_body": bytes},
{"slow": "METHOD /path" or "all", "slow_seconds": s}, or {"failed_shards": {"_refresh" | "_search" | "scroll": n}}.
"""
import gzip
import http.server
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

ADDRESS = "127.0.0.1"


class Store:
    def __init__(self):
        self.lock = threading.Lock()
        self.indices = {}   # name -> {"uuid", "documents": {id: [source, seq_no]}, "mappings"}
        self.templates = {}
        self.faults = []
        self.settings = {}
        self.seen = {"bulk": 0, "largest": 0, "busy": 0, "gzip": 0, "too_large": 0, "late": 0}
        self.made = 0

    def make(self, name, body=None):
        self.made += 1
        self.indices[name] = {"uuid": f"uuid{self.made}", "documents": {}, "body": body or {}, "seq": -1}
        return self.indices[name]

    def fault(self, on):
        for fault in self.faults:
            if fault["on"] == on:
                fault["times"] -= 1
                if fault["times"] == 0:
                    self.faults.remove(fault)
                return fault["do"]
        return None


STORE = Store()


def error(status, kind, reason):
    return status, {"error": {"root_cause": [], "type": kind, "reason": reason}, "status": status}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    # --- answers ---------------------------------------------------------------------------------------------------

    def answer(self, status, body):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def cut(self, status=None, body=b"", announced=0):
        """Ends the connection, possibly in the middle of an answer."""
        if status:
            self.send_response(status)
            self.send_header("Content-Length", str(announced))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()
        self.close_connection = True

    def all(self):
        url = urllib.parse.urlsplit(self.path)
        self.parts = [urllib.parse.unquote(part) for part in url.path.split("/")[1:]]
        self.query = dict(urllib.parse.parse_qsl(url.query))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        size = len(body)
        if self.headers.get("Content-Encoding") == "gzip":
            STORE.seen["gzip"] += 1
            body = gzip.decompress(body)
        if self.parts != ["_fake"] and STORE.settings.get("slow") in ("all", f"{self.command} {url.path}"):
            time.sleep(STORE.settings["slow_seconds"])
        with STORE.lock:
            if self.parts == ["_fake"]:
                return self.fake(body)
            wanted = STORE.settings.get("authorization")
            if wanted and wanted != self.headers.get("Authorization"):
                return self.answer(*error(401, "security_exception", "missing authentication credentials"))
            if self.parts[-1] == "_bulk":
                return self.bulk_with_faults(body, size)
            if self.parts[0] == "sluice-control" and len(self.parts) == 3:
                return self.control_with_faults(body)
            return self.answer(*self.other(body))

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = all

    def fake(self, body):
        if self.command == "POST":
            told = json.loads(body)
            STORE.faults += [dict(fault, times=fault.get("times", 1)) for fault in told.get("faults", [])]
            STORE.settings.update(told.get("settings", {}))
            if told.get("clear"):
                STORE.faults, STORE.settings = [], {}
        return self.answer(200, dict(STORE.seen, faults_left=len(STORE.faults)))

    # --- indices ---------------------------------------------------------------------------------------------------

    def other(self, body):
        name, rest = self.parts[0], self.parts[1:]
        if name == "_index_template":
            if self.command == "PUT":
                STORE.templates[rest[0]] = json.loads(body)
                return 200, {"acknowledged": True}
            if rest[0] not in STORE.templates:
                return error(404, "resource_not_found_exception", "no template")
            return 200, {"index_templates": [{"index_template": {"_meta": STORE.templates[rest[0]]["_meta"]}}]}
        if name == "_search":
            return self.page([], "scroll")
        index = STORE.indices.get(name)
        if self.command == "PUT" and not rest:
            if index:
                return error(400, "resource_already_exists_exception", f"index [{name}] already exists")
            STORE.make(name, json.loads(body))
            return 200, {"acknowledged": True}
        if index is None:
            return error(404, "index_not_found_exception", f"no such index [{name}]")
        if not rest:
            if self.command == "DELETE":
                del STORE.indices[name]
                return 200, {"acknowledged": True}
            settings = dict(index["body"].get("settings", {}), uuid=index["uuid"], **index.get("state", {}))
            return 200, {name: {"aliases": {}, "mappings": index["body"].get("mappings", {}), "settings": {"index": settings}}}
        if rest == ["_mapping"]:
            for field, mapping in json.loads(body)["properties"].items():
                there = index["body"].setdefault("mappings", {}).setdefault("properties", {}).setdefault(field, mapping)
                if there["type"] != mapping["type"]:
                    return error(400, "illegal_argument_exception",
                                 f"mapper [{field}] cannot be changed from type [{there['type']}] to [{mapping['type']}]")
            return 200, {"acknowledged": True}
        if rest == ["_close"] or rest == ["_open"]:
            index["state"] = {"verified_before_close": "true"} if rest == ["_close"] else {}
            return 200, {"acknowledged": True}
        if rest == ["_settings"]:
            index["state"] = json.loads(body)
            return 200, {"acknowledged": True}
        if rest == ["_refresh"]:
            return 200, {"_shards": self.shards("_refresh")}
        if rest == ["_search"]:
            assert self.query.get("ignore_unavailable") == "true", "whoever does not say so is refused"
            if STORE.fault("search") == "close":
                index["state"] = {"verified_before_close": "true"}
            documents = {} if index.get("state") else index["documents"]  # left out without a word
            return self.page([{"_index": name, "_id": id, "_source": at[0]} for id, at in documents.items()], "_search")
        if rest == ["_count"]:
            lacking = json.loads(body)["query"]["bool"]["must_not"]["exists"]["field"] if body else None
            return 200, {"count": sum(lacking is None or at[0].get(lacking) is None for at in index["documents"].values())}
        if rest[0] == "_doc" and self.command == "GET":
            found = index["documents"].get(rest[1])
            if not found:
                return 404, {"_index": name, "_id": rest[1], "found": False}
            return 200, {"_index": name, "_id": rest[1], "found": True, "_seq_no": found[1], "_primary_term": 1,
                         "_source": found[0]}
        return error(400, "illegal_argument_exception", f"{self.command} {self.path}")

    # --- searches --------------------------------------------------------------------------------------------------

    def shards(self, request):
        return {"failed": STORE.settings.get("failed_shards", {}).get(request, 0)}

    def page(self, hits, request):
        return 200, {"_scroll_id": "one", "timed_out": False, "_shards": self.shards(request),
                     "hits": {"total": {"value": len(hits)}, "hits": hits}}

    # --- control documents -----------------------------------------------------------------------------------------

    def control_with_faults(self, body):
        fault = STORE.fault("control") if self.command in ("PUT", "DELETE") else None
        if fault == "cut":
            return self.cut()
        if fault == "busy":
            return self.answer(*error(429, "es_rejected_execution_exception", "queue"))
        if fault == "read_only":
            return self.answer(*error(403, "cluster_block_exception", "index [sluice-control] blocked by: [FORBIDDEN/8]"))
        status, answer = self.control(body)
        if fault == "lost":
            return self.cut()
        if fault == "garbage":
            return self.answer(status, b"{\"_seq_no\":")
        return self.answer(status, answer)

    def control(self, body):
        _, verb, name = self.parts
        if self.command == "GET":
            return self.other(body)
        index = STORE.indices.get("sluice-control")
        if index is None:
            index = STORE.make("sluice-control")
        there = index["documents"].get(name)
        conflict = error(409, "version_conflict_engine_exception", f"[{name}]: version conflict")
        if verb == "_create" and there:
            return conflict
        if verb == "_doc":
            if not there and self.command == "DELETE":
                return 404, {"result": "not_found"}
            if "if_seq_no" not in self.query:
                pass  # nobody has asked for a comparison
            elif not there or int(self.query["if_seq_no"]) != there[1] or self.query["if_primary_term"] != "1":
                return conflict
        if self.command == "DELETE":
            del index["documents"][name]
            return 200, {"result": "deleted"}
        index["seq"] += 1
        index["documents"][name] = [json.loads(body), index["seq"]]
        return 201 if there is None else 200, {"_seq_no": index["seq"], "_primary_term": 1, "result": "updated"}

    # --- documents -------------------------------------------------------------------------------------------------

    def bulk_with_faults(self, body, size):
        assert self.query.get("pipeline") == "_none", "whatever pipeline an index has by default is not used"
        STORE.seen["bulk"] += 1
        STORE.seen["largest"] = max(STORE.seen["largest"], size)
        if size > STORE.settings.get("max_body", 1 << 30):
            STORE.seen["too_large"] += 1
            return self.answer(413, b"<html>413 Request Entity Too Large</html>")
        if size > STORE.settings.get("max_in_time", 1 << 30):
            STORE.seen["late"] += 1
            time.sleep(STORE.settings["late_seconds"])
            return self.cut()
        fault = STORE.fault("bulk")
        if fault == "cut":
            return self.cut()
        if fault == "busy":
            STORE.seen["busy"] += 1
            return self.answer(*error(429, "es_rejected_execution_exception", "rejected execution of coordinating operation"))
        if fault in (502, 503):
            return self.answer(fault, b"<html>bad gateway</html>")
        if fault == "read_only":
            return self.answer(*error(403, "cluster_block_exception", "blocked by: [FORBIDDEN/8/index write (api)]"))
        if fault == "forbidden":
            return self.answer(*error(403, "security_exception", "action [indices:data/write/bulk] is unauthorized"))
        answer = self.bulk(body, fault)
        data = json.dumps(answer[1]).encode()
        if fault == "lost":
            return self.cut()
        if fault == "half":
            return self.cut(200, data[:len(data) // 2], len(data))
        if fault == "garbage":
            return self.answer(200, data[:-1])
        if fault == "fewer":
            answer[1]["items"].pop()
        return self.answer(*answer)

    def bulk(self, body, fault):
        assert body.endswith(b"\n"), "a bulk body ends with a newline"
        lines = body[:-1].split(b"\n")
        assert len(lines) % 2 == 0
        items = []
        bad_id = STORE.settings.get("bad_id")
        for i in range(0, len(lines), 2):
            action = json.loads(lines[i])["create"]
            if bad_id and action["_id"] == bad_id:
                return error(400, "illegal_argument_exception", "the whole request is refused")
            items.append({"create": self.item(i // 2, action, json.loads(lines[i + 1]), fault)})
        return 200, {"items": items}

    def item(self, place, action, source, fault):
        def failed(status, kind, reason, cause=None):
            words = {"type": kind, "reason": reason}
            if cause:
                words["caused_by"] = {"reason": cause}
            return {"status": status, "error": words}
        name = action.get("_index") or self.parts[0]
        letters = name.endswith("-dead-letters")
        if fault == "items_busy" and place % 2 == 0:
            STORE.seen["busy"] += 1
            return failed(429, "es_rejected_execution_exception", "rejected execution of primary operation")
        if fault == "items_read_only":
            return failed(403, "cluster_block_exception", f"index [{name}] blocked by: [FORBIDDEN/8/index write (api)]")
        if fault == "items_500" and place == 0:
            return failed(500, "illegal_state_exception", "engine is closed")
        index = STORE.indices.get(name)
        if index is None:
            if STORE.settings.get("no_auto_create"):
                return failed(404, "index_not_found_exception", f"no such index [{name}]")
            index = STORE.make(name)
        if not letters and "poison" in json.dumps(source):
            return failed(400, "mapper_parsing_exception", "failed to parse field [x]", "For input string: \"\u00e9\"")
        if action["_id"] in index["documents"]:
            return failed(409, "version_conflict_engine_exception", "document already exists")
        index["seq"] += 1
        index["documents"][action["_id"]] = [source, index["seq"]]
        return {"status": 201}


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        kind = sys.exc_info()[0]
        if not issubclass(kind, (ConnectionError, ssl.SSLError)):
            super(http.server.ThreadingHTTPServer, self).handle_error(*_)


def serve_tls(folder):
    """A second server for the same store, with a certificate that only its own authority vouches for; its environment."""
    key, certificate = f"{folder}/key.pem", f"{folder}/ca.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2",
                    "-subj", "/CN=sluice-test", "-addext", f"subjectAltName=IP:{ADDRESS}"], check=True, stderr=subprocess.DEVNULL)
    server = Server((ADDRESS, 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return {"SLUICE_TEST_FAKE_TLS": f"https://{ADDRESS}:{server.server_address[1]}", "SLUICE_TEST_FAKE_CA": certificate}


def main():
    if len(sys.argv) < 3 or sys.argv[1] != "with":
        sys.exit(__doc__)
    server = Server((ADDRESS, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://{ADDRESS}:{server.server_address[1]}"
    environment = dict(os.environ, SLUICE_TEST_ELASTICSEARCH=address, SLUICE_TEST_FAKE=address)
    with tempfile.TemporaryDirectory() as folder:
        if shutil.which("openssl"):
            environment.update(serve_tls(folder))
        code = subprocess.run(sys.argv[2:], env=environment, check=False).returncode
    sys.exit(code)


if __name__ == "__main__":
    main()
