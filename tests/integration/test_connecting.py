#!/usr/bin/python3
"""What is refused while connecting to PostgreSQL, and what is waited for: poolers, TLS, passwords, names, limits, restarts."""
import subprocess, sys, tempfile
from pathlib import Path
from types import SimpleNamespace

from jobs import EXIT_CONFIG, Failure, must_be, wait_for
from pooler import Pooler
from services import BIN, HERE, ROOT, call

EXIT_UNAVAILABLE = 69


def init(postgres, url, environment=(), seconds=60):
    config = (ROOT / "compose/pipeline.yaml").read_text()
    (postgres.folder / "pipeline.yaml").write_text(config)
    return subprocess.run([BIN / "sluicectl", "init", "--config", postgres.folder / "pipeline.yaml"], text=True, capture_output=True,
                          timeout=seconds, check=False, stdin=subprocess.DEVNULL,
                          env={"PATH": "/usr/bin:/bin", "DATABASE_URL": url, "KAFKA_BOOTSTRAP_SERVERS": "localhost:1", **dict(environment)})


def must_end(done, code, *words):
    must_be(f"the exit code, after {done.stderr}", done.returncode, code)
    for word in words:
        if word not in done.stderr:
            raise Failure(f"{word!r} is not said: {done.stderr}")


def with_user(url, user, password):
    return f"postgresql://{user}:{password}@" + url.split("@")[1]


def pool_of_transactions(postgres):
    for mode, code, words in (("transaction", EXIT_CONFIG, ("there is a pooler before PostgreSQL", "session mode")), ("session", 0, ())):
        pooler = Pooler(f"{postgres.pg}/.s.PGSQL.{postgres.port}", mode)
        try:
            must_end(init(postgres, f"postgresql://postgres@127.0.0.1:{pooler.port}/ecommerce"), code, *words)
        finally:
            pooler.close()


def tls_that_cannot_work(postgres):
    for more, words in (("sslmode=require", "server does not support SSL"), ("sslmode=requir", "invalid sslmode value"),
                        ("sslmode=verify-full&sslrootcert=/nowhere", "SSL")):
        must_end(init(postgres, f"{postgres.url}?{more}"), EXIT_CONFIG, words, "What to do")


def tls_with_another_certificate(postgres):
    """A server with TLS: an authority that is missing, and a certificate of another host."""
    key, certificate, data = postgres.folder / "key.pem", postgres.folder / "cert.pem", postgres.pg / "data"
    call("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", 2, "-subj", "/CN=another.host", "-keyout", key, "-out", certificate)
    for source, name in ((key, "server.key"), (certificate, "server.crt")):
        call("cp", source, data / name)
        call("chown", "postgres:", data / name) if call("id", "-u") == "0" else None
        call("chmod", "600", data / name)
    call("psql", postgres.url, "-qc", "ALTER SYSTEM SET ssl = on")
    call("psql", postgres.url, "-Atqc", "SELECT pg_reload_conf()")
    wait_for("a server with TLS", lambda: call("psql", postgres.url, "-Atqc", "SHOW ssl") == "on", 60)
    host = postgres.url.replace("127.0.0.1", "localhost")
    must_end(init(postgres, f"{host}?sslmode=verify-ca&sslrootcert=/nowhere/ca.pem"), EXIT_CONFIG, "root certificate file")
    must_end(init(postgres, f"{host}?sslmode=verify-full&sslrootcert={certificate}"), EXIT_CONFIG, "does not match host name")
    must_end(init(postgres, f"{host}?sslmode=verify-ca&sslrootcert={certificate}"), 0)


def roles(postgres):
    for text in ("CREATE ROLE shut NOLOGIN PASSWORD 'x'", "CREATE ROLE few LOGIN PASSWORD 'x' CONNECTION LIMIT 0", "CREATE DATABASE closed",
                 "REVOKE CONNECT ON DATABASE closed FROM PUBLIC", "CREATE ROLE apart LOGIN PASSWORD 'x'"):
        call("psql", postgres.url, "-qc", text)
    must_end(init(postgres, with_user(postgres.url, "shut", "x")), EXIT_CONFIG, "not permitted to log in", "ALTER ROLE")
    must_end(init(postgres, with_user(postgres.url, "few", "x")), EXIT_UNAVAILABLE, "too many connections")
    must_end(init(postgres, with_user(postgres.url, "apart", "x").replace("/ecommerce", "/closed")), EXIT_CONFIG, "permission denied for database")
    must_end(init(postgres, with_user(postgres.url, "postgres", "wrong")), EXIT_CONFIG, "password authentication failed", "sinks.postgres.url")


def names(postgres):
    for url in ("ecommerce", postgres.url.replace("://", "//"), postgres.url.replace(":", "", 1)):  # each is a database's name to libpq
        must_end(init(postgres, url), EXIT_CONFIG, "sinks.postgres.url is not an address", "postgresql://user:password@host:port/database")
    must_end(init(postgres, postgres.url.replace("/ecommerce", "/elsewhere")), EXIT_UNAVAILABLE, "does not exist", "What to do: create the database")
    must_end(init(postgres, postgres.url.replace("127.0.0.1", "no-such-host.invalid")), EXIT_UNAVAILABLE, "translate host name")


CASES = (pool_of_transactions, tls_that_cannot_work, roles, names, tls_with_another_certificate)


def main():
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix="sluice-") as folder:
        folder = Path(folder)
        folder.chmod(0o755)
        pg = folder / "pg"
        try:
            call(HERE / "postgres.sh", "start", pg)
            postgres = SimpleNamespace(folder=folder, pg=pg, url=call(HERE / "postgres.sh", "url", pg).splitlines()[-1])
            postgres.port = (pg / "port").read_text().strip()
            for case in CASES:
                if sys.argv[1:] and case.__name__ not in sys.argv[1:]:
                    continue
                try:
                    case(postgres)
                    passed += 1
                    print(f"  {case.__name__}: ok", flush=True)
                except (Failure, subprocess.TimeoutExpired) as failure:
                    failed += 1
                    print(f"  {case.__name__}: FAILED\n{failure}", flush=True)
        finally:
            call(HERE / "postgres.sh", "stop", pg, "immediate")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
