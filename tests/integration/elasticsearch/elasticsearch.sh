#!/usr/bin/env bash
# elasticsearch.sh - a real Elasticsearch 7.17 (one node, 127.0.0.1, no security) for tests and demos.
#
#   elasticsearch.sh fetch                       downloads it once, to ${XDG_CACHE_HOME:-~/.cache}/sluice-test
#   elasticsearch.sh start DIR [PORT] [-E SETTING=VALUE]...
#                                                starts it and prints its port; DIR keeps its data over restarts, and its port;
#                                                settings are those of this start only
#   elasticsearch.sh stop DIR [--kill]           stops it; --kill: as a crash would
#   elasticsearch.sh url DIR                     prints its address
#   elasticsearch.sh pid DIR                     prints its pid, for signals; exit 1 where it does not run
#   elasticsearch.sh with DIR COMMAND...         runs a command with ELASTICSEARCH_URL and ELASTICSEARCH_DIR set to a fresh node
#
# Needs: a JDK (11 or newer), and Maven to download. Environment: SLUICE_ELASTICSEARCH_JARS names another folder that `fetch`
# has filled, or will; ELASTICSEARCH_HEAP is the node's heap (256m); with SLUICE_STEADY_SERVICES the node is not tuned to be up
# soon.
#
# A queue of one, for answers 429 both of items and of whole requests:
#   -E thread_pool.write.queue_size=1 -E node.processors=1 -E indexing_pressure.memory.limit=2mb
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../service.sh"

fill() {
	mvn -q -B -Dstyle.color=never -f "$here/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$1" >&2 &&
		javac -proc:none -nowarn -cp "$1/*" -d "$1/classes" "$here/TestNode.java" >&2 &&
		jar --create --file "$1/node.jar" -C "$1/classes" . >&2 && # an archive of classes takes no folder
		rm -r "$1/classes"
}

# Another pom or program has a folder of its own: what was downloaded for an older one would do for neither.
edition=$({ cat "$here/pom.xml" "$here/TestNode.java" && declare -f fill; } | sha256sum | cut -c 1-12)
jars=${SLUICE_ELASTICSEARCH_JARS:-${XDG_CACHE_HOME:-${HOME:?}/.cache}/sluice-test/elasticsearch-$edition}

fetch() {
	[ -f "$jars/.complete" ] || command -v javac >/dev/null || fail "javac is missing (Debian package openjdk-17-jdk-headless)"
	download "$jars" fill
	archive_classes "$jars"
}

# A pid file outlives a killed node: the pid may be somebody else's by now.
running_pid() {
	local pid
	pid=$(cat "$dir/node.pid" 2>/dev/null) || return 1
	{ tr '\0' ' ' <"/proc/$pid/cmdline"; } 2>/dev/null | grep -qF "TestNode $dir/config" || return 1
	echo "$pid"
}

write_config() {
	local setting
	mkdir -p "$dir/config" "$dir/tmp"
	{
		cat <<-CONFIG
			cluster.name: sluice-test
			node.name: test
			path.data: "$dir/data"
			path.logs: "$dir/logs"
			network.host: 127.0.0.1
			http.port: $1
			transport.port: 0
			discovery.type: single-node
			cluster.routing.allocation.disk.threshold_enabled: false
		CONFIG
		for setting in "${@:2}"; do
			[[ $setting == ?*=* ]] || fail "-E $setting: SETTING=VALUE is wanted"
			echo "${setting%%=*}: \"${setting#*=}\""
		done
	} >"$dir/config/elasticsearch.yml"
	echo "$1" >"$dir/port"
}

# What it had before a restart can be searched again: its primary shards are there.
is_ready() {
	timeout 5 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$1" &&
		printf "GET /_cluster/health?wait_for_status=yellow&timeout=1s HTTP/1.0\r\n\r\n" >&3 &&
		read -r _ status _ <&3 && [ "$status" = 200 ]' bash "$1" 2>/dev/null
}

wait_ready() {
	local pid=$1 port=$2 deadline=$((SECONDS + 300)) # many minutes of a killed node are read again
	while [ $SECONDS -lt $deadline ]; do
		kill -0 "$pid" 2>/dev/null || fail "the node ended: $(tail -n 20 "$dir/node.log")"
		is_ready "$port" && return
		sleep 0.1
	done
	kill -9 "$pid" 2>/dev/null || true
	fail "the node was not ready within five minutes, see $dir/node.log"
}

start() {
	local port='' settings=() heap=${ELASTICSEARCH_HEAP:-256m} pid
	while [ $# -gt 0 ]; do
		case $1 in
		-E) [ $# -ge 2 ] || usage && settings+=("$2") && shift 2 ;;
		*[!0-9]*) usage ;;
		*) port=$1 && shift ;; # "": any
		esac
	done
	command -v java >/dev/null || fail "java is missing (Debian package openjdk-17-jdk-headless)"
	fetch
	mkdir -p "$dir"
	dir=$(cd "$dir" && pwd)
	if running_pid >/dev/null; then
		cat "$dir/port"
		return
	fi
	port=${port:-$(cat "$dir/port" 2>/dev/null || port_pick)}
	write_config "$port" ${settings[@]+"${settings[@]}"}
	: >"$dir/node.log"
	# A session of its own: Ctrl-C at a test's terminal is for the test.
	java_tune "$jars" -XX:+UseG1GC
	setsid java "-Xms$heap" "-Xmx$heap" "${tuned[@]}" -Xss1m -Djava.awt.headless=true -Djava.io.tmpdir="$dir/tmp" \
		-Djava.locale.providers=SPI,COMPAT --add-opens=java.base/java.io=ALL-UNNAMED \
		-Dio.netty.noUnsafe=true -Dio.netty.noKeySetOptimization=true -Dio.netty.recycler.maxCapacityPerThread=0 \
		-Dlog4j2.configurationFile="$here/log4j2.properties" -Dlog4j.shutdownHookEnabled=false -Dlog4j2.disable.jmx=true \
		-Des.distribution.flavor=default -Des.distribution.type=tar \
		-cp "$jars/*" TestNode "$dir/config" </dev/null >>"$dir/node.log" 2>&1 &
	pid=$!
	echo "$pid" >"$dir/node.pid"
	wait_ready "$pid" "$port"
	echo "$port"
}

stop() {
	dir=$(cd "$dir" 2>/dev/null && pwd) || return 0
	process_stop "$dir/node.pid" "${1:-}"
}

# A node of its own for one command, gone afterwards.
with() {
	local port status=0
	rm -rf "$dir"
	port=$(start)
	dir=$(cd "$dir" && pwd)
	trap 'stop --kill; rm -rf "$dir"' EXIT
	ELASTICSEARCH_URL=http://127.0.0.1:$port ELASTICSEARCH_DIR=$dir "$@" || status=$?
	return "$status"
}

[ $# -ge 1 ] || usage
verb=$1
dir=${2:-}
case $verb:$# in
fetch:1) fetch ;;
start:1 | with:1 | with:2) usage ;;
start:*) start "${@:3}" ;;
stop:2 | stop:3) stop "${3:-}" ;;
url:2) echo "http://127.0.0.1:$(cat "$dir/port")" ;;
pid:2) dir=$(cd "$dir" && pwd) && running_pid ;;
with:*) with "${@:3}" ;;
*) usage ;;
esac
