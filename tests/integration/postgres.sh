#!/bin/bash
# A private PostgreSQL cluster for tests: default durability, nothing shared with one that the machine may run.
#
#   postgres.sh start DIR [PORT]          makes the cluster where there is none, and starts it
#   postgres.sh stop DIR [fast|immediate]
#   postgres.sh url DIR                   the address of its database `ecommerce`, with a password
#   postgres.sh backup DIR                takes a base backup, beside the data
#   postgres.sh failover DIR              the server dies, and the backup goes on in its place: what was committed since is lost
#   postgres.sh with DIR COMMAND...       start, DATABASE_URL and POSTGRES_DIR in the environment, stop; the command's exit code
#
# The server listens on 127.0.0.1 (passwords are checked there) and on a unix socket in DIR (they are not). As root it runs
# under the user postgres, who then has to be able to reach DIR.
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/service.sh"
password=sluice-test

binaries() {
	local found
	found=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
	if [ -n "$found" ]; then
		echo "$found"
	elif command -v initdb >/dev/null; then
		dirname "$(command -v initdb)"
	else
		fail "PostgreSQL's server programs are missing (Debian package postgresql)"
	fi
}

# PostgreSQL refuses to run as root.
as_server() {
	if [ "$(id -u)" = 0 ]; then
		(cd / && exec runuser -u postgres -- env LC_ALL=C.UTF-8 "$@")
	else
		LC_ALL=C.UTF-8 "$@"
	fi
}

cluster_make() {
	mkdir -p "$dir"
	if [ "$(id -u)" = 0 ]; then
		id postgres >/dev/null 2>&1 || fail "there is no user postgres to run the server under"
		chown postgres: "$dir"
	fi
	chmod 700 "$dir"
	as_server test -w "$dir" || fail "$dir cannot be reached by the user that runs the server: choose another folder"
	as_server sh -c 'umask 077; printf %s "$1" >"$2"' sh "$password" "$dir/password"
	as_server "$bin/initdb" -D "$dir/data" -U postgres --encoding=UTF8 --locale=C.UTF-8 --auth-local=trust \
		--auth-host=scram-sha-256 --pwfile="$dir/password" >"$dir/initdb.log" 2>&1 ||
		fail "initdb failed: $(tail -n 3 "$dir/initdb.log")"
	as_server sh -c 'cat >>"$1"' sh "$dir/data/postgresql.conf" <<-CONFIG
		listen_addresses = '127.0.0.1'
		unix_socket_directories = '$dir'
		max_connections = 50
		track_commit_timestamp = on
		log_min_messages = warning
		log_line_prefix = '%m [%p] %a '
	CONFIG
}

server_start() {
	as_server "$bin/pg_ctl" -D "$dir/data" -l "$dir/server.log" -w -t 60 -s -o "-p $1" start >/dev/null 2>&1
}

start() {
	local port
	[ ${#dir} -le 90 ] || fail "$dir: too long for a unix socket's address"
	[ -f "$dir/data/PG_VERSION" ] || cluster_make
	as_server "$bin/pg_ctl" -D "$dir/data" status >/dev/null 2>&1 && return
	port=${1:-$(cat "$dir/port" 2>/dev/null || port_pick)}
	if ! server_start "$port"; then
		# Somebody else may have taken the port by now.
		if [ -n "${1:-}" ] || port_is_free "$port"; then
			fail "the server does not start: $(tail -n 3 "$dir/server.log" 2>/dev/null)"
		fi
		port=$(port_pick)
		server_start "$port" || fail "the server does not start: $(tail -n 3 "$dir/server.log")"
	fi
	echo "$port" >"$dir/port"
	"$bin/psql" -X -q -h "$dir" -p "$port" -U postgres -d postgres -At \
		-c "SELECT 1 FROM pg_database WHERE datname = 'ecommerce'" | grep -q 1 ||
		"$bin/createdb" -h "$dir" -p "$port" -U postgres ecommerce
}

stop() {
	as_server "$bin/pg_ctl" -D "$dir/data" -w -t 60 -s -m "${1:-fast}" stop >/dev/null 2>&1 || true
}

url() {
	[ -f "$dir/port" ] || fail "$dir: no cluster was started there"
	echo "postgresql://postgres:$password@127.0.0.1:$(cat "$dir/port")/ecommerce"
}

backup() {
	rm -rf "$dir/backup"
	as_server "$bin/pg_basebackup" -h "$dir" -p "$(cat "$dir/port")" -U postgres -D "$dir/backup" -c fast -X stream
}

failover() {
	[ -f "$dir/backup/PG_VERSION" ] || fail "$dir: there is no backup"
	stop immediate
	rm -rf "$dir/data"
	mv "$dir/backup" "$dir/data"
	start
}

with() {
	trap 'stop immediate' EXIT
	start
	DATABASE_URL=$(url) POSTGRES_DIR=$dir "$@"
}

[ $# -ge 2 ] || usage
verb=$1
dir=$(realpath -m "$2")
bin=$(binaries)
shift 2
case $verb in
start) start "$@" ;;
stop) stop "$@" ;;
url) url ;;
backup) backup ;;
failover) failover ;;
with) with "$@" ;;
*) usage ;;
esac
