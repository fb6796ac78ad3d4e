#!/usr/bin/env bash
# kafka.sh - a real Kafka broker (one node, KRaft, 127.0.0.1) for tests and demos.
#
#   kafka.sh fetch                       downloads the broker once, to ${XDG_CACHE_HOME:-~/.cache}/sluice-test/kafka
#   kafka.sh start DIR [PORT]            starts it and prints its port; DIR keeps its data over restarts, and its port
#   kafka.sh stop DIR [--kill]           stops it; --kill: as a crash would
#   kafka.sh topic DIR NAME PARTITIONS   creates a topic; one that is there already is fine
#   kafka.sh forget DIR NAME PARTITION OFFSET
#                                        removes the records before an offset, as retention does
#   kafka.sh port DIR                    prints the port
#   kafka.sh sasl-port DIR               prints the port where a password is asked for (SASL_PLAINTEXT, PLAIN): the user
#                                        `reader`, password `reader`, may do all; the user `stranger`, `stranger`, nothing
#   kafka.sh with DIR COMMAND...         runs a command with KAFKA_BOOTSTRAP_SERVERS set to a fresh broker
#
# Needs: a Java runtime (11 or newer), python3-confluent-kafka, and Maven to download. Environment: SLUICE_KAFKA_JARS names a
# folder with the jars instead of the cache; KAFKA_HEAP is the broker's heap (512m); KAFKA_ADVERTISED a port that clients are
# sent to instead of the broker's own; with SLUICE_STEADY_SERVICES the broker is not tuned to be up soon.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../service.sh"
jars=${SLUICE_KAFKA_JARS:-${XDG_CACHE_HOME:-${HOME:?}/.cache}/sluice-test/kafka}

fill() {
	mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$1" >&2
}

fetch() {
	download "$jars" fill
	archive_classes "$jars"
}

# The jars as a class path; heap holds the options of the Java machine.
run_java() {
	exec java "${heap[@]}" -Dlog4j.configuration="file:$here/log4j.properties" -cp "$jars/*" "$@"
}
run_tool() {
	(heap=(-Xmx128m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC) && run_java "$@")
}

# A pid file outlives a killed broker: the pid may be somebody else's by now.
running_pid() {
	local pid
	pid=$(cat "$dir/broker.pid" 2>/dev/null) || return 1
	tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "kafka.Kafka $dir/server.properties" || return 1
	echo "$pid"
}

write_properties() {
	local port=$1 controller=$2 sasl=$3
	cat >"$dir/server.properties" <<-PROPERTIES
		process.roles=broker,controller
		node.id=1
		controller.quorum.voters=1@127.0.0.1:$controller
		listeners=PLAINTEXT://127.0.0.1:$port,SASL_PLAINTEXT://127.0.0.1:$sasl,CONTROLLER://127.0.0.1:$controller
		advertised.listeners=PLAINTEXT://127.0.0.1:${KAFKA_ADVERTISED:-$port},SASL_PLAINTEXT://127.0.0.1:$sasl
		controller.listener.names=CONTROLLER
		inter.broker.listener.name=PLAINTEXT
		listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
		sasl.enabled.mechanisms=PLAIN
		listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_reader="reader" user_stranger="stranger";
		authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
		super.users=User:ANONYMOUS;User:reader
		log.dirs=$dir/log
		log.retention.hours=-1
		default.replication.factor=1
		offsets.topic.replication.factor=1
		offsets.topic.num.partitions=1
		transaction.state.log.replication.factor=1
		transaction.state.log.num.partitions=1
		transaction.state.log.min.isr=1
		group.initial.rebalance.delay.ms=0
		auto.create.topics.enable=false
		delete.topic.enable=true
	PROPERTIES
	echo "$port" >"$dir/port"
	echo "$controller" >"$dir/controller.port"
	echo "$sasl" >"$dir/sasl.port"
}

choose_ports() {
	if [ -z "${1:-}" ] && [ -s "$dir/port" ] && [ -s "$dir/controller.port" ] && [ -s "$dir/sasl.port" ]; then
		write_properties "$(cat "$dir/port")" "$(cat "$dir/controller.port")" "$(cat "$dir/sasl.port")"
	else
		write_properties "${1:-$(port_pick)}" "$(port_pick)" "$(port_pick)"
	fi
}

format_storage() {
	[ -f "$dir/log/meta.properties" ] && return
	local id
	id=$(head -c 16 /dev/urandom | base64 | tr '+/' 'ab' | tr -d '=')
	run_tool kafka.tools.StorageTool format -t "$id" -c "$dir/server.properties" >"$dir/format.log" 2>&1 ||
		fail "formatting failed: $(tail -n 5 "$dir/format.log")"
}

wait_ready() {
	local pid=$1
	for _ in $(seq 600); do
		grep -q 'Kafka Server started' "$dir/broker.log" && return
		kill -0 "$pid" 2>/dev/null || fail "the broker ended: $(tail -n 20 "$dir/broker.log")"
		sleep 0.1
	done
	kill -9 "$pid" 2>/dev/null || true
	fail "the broker was not ready within a minute, see $dir/broker.log"
}

start() {
	command -v java >/dev/null || fail "java is missing (Debian package openjdk-17-jre-headless)"
	fetch
	mkdir -p "$dir"
	dir=$(cd "$dir" && pwd)
	if running_pid >/dev/null; then
		cat "$dir/port"
		return
	fi
	choose_ports "${1:-}"
	format_storage
	: >"$dir/broker.log"
	java_tune "$jars" -XX:+UseG1GC -XX:MaxGCPauseMillis=20
	heap=("-Xms${KAFKA_HEAP:-512m}" "-Xmx${KAFKA_HEAP:-512m}" "${tuned[@]}")
	# A session of its own: Ctrl-C at a test's terminal is for the test.
	setsid java "${heap[@]}" -Dlog4j.configuration="file:$here/log4j.properties" -cp "$jars/*" \
		kafka.Kafka "$dir/server.properties" </dev/null >>"$dir/broker.log" 2>&1 &
	echo $! >"$dir/broker.pid"
	wait_ready $!
	cat "$dir/port"
}

stop() {
	dir=$(cd "$dir" 2>/dev/null && pwd) || return 0
	process_stop "$dir/broker.pid" "${1:-}"
}

# Not by Kafka's own tool: that is a Java machine, two seconds of a processor in each of some hundred tests.
topic() {
	/usr/bin/python3 - "127.0.0.1:$(cat "$dir/port")" "$1" "$2" <<-'PYTHON'
		import sys
		from confluent_kafka import KafkaError, KafkaException
		from confluent_kafka.admin import AdminClient, NewTopic
		brokers, name, partitions = sys.argv[1:]
		admin = AdminClient({"bootstrap.servers": brokers, "log_level": 0})
		try:
		    admin.create_topics([NewTopic(name, int(partitions), 1)], operation_timeout=30)[name].result(60)
		except KafkaException as failure:
		    if failure.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
		        sys.exit(f"kafka.sh: topic {name}: {failure}")
	PYTHON
}

forget() {
	echo "{\"version\": 1, \"partitions\": [{\"topic\": \"$1\", \"partition\": $2, \"offset\": $3}]}" >"$dir/forget.json"
	run_tool org.apache.kafka.tools.DeleteRecordsCommand --bootstrap-server "127.0.0.1:$(cat "$dir/port")" \
		--offset-json-file "$dir/forget.json" >&2
}

# A broker of its own for one command, gone afterwards.
with() {
	local port status=0
	rm -rf "$dir"
	port=$(start "")
	trap 'stop --kill; rm -rf "$dir"' EXIT
	KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:$port "$@" || status=$?
	return "$status"
}

[ $# -ge 1 ] || usage
verb=$1
dir=${2:-}
case $verb:$# in
fetch:1) fetch ;;
start:2 | start:3) start "${3:-}" ;;
stop:2 | stop:3) stop "${3:-}" ;;
topic:4) topic "$3" "$4" ;;
forget:5) forget "${@:3}" ;;
port:2) cat "$dir/port" ;;
sasl-port:2) cat "$dir/sasl.port" ;;
with:1 | with:2) usage ;;
with:*) with "${@:3}" ;;
*) usage ;;
esac
