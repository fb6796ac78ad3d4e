# service.sh - what the scripts that start a service for tests have in common. To be sourced; runs nothing by itself.
#
# The script says `dir`, the service's folder, and has a function running_pid, which prints the pid or fails.

fail() {
	echo "${0##*/}: $*" >&2
	exit 1
}

# The script's own first comment.
usage() {
	sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" >&2
	exit 2
}

port_is_free() {
	! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

port_pick() {
	/usr/bin/python3 "$(dirname "${BASH_SOURCE[0]}")/ports.py"
}

# download FOLDER FILL: once. FILL is given a folder beside it to fill: an interrupted download must not look complete.
download() {
	[ -f "$1/.complete" ] && return
	command -v mvn >/dev/null || fail "mvn is missing (Debian package maven)"
	mkdir -p "$(dirname "$1")"
	local fresh
	fresh=$(mktemp -d "$1.XXXXXX")
	"$2" "$fresh" || {
		rm -rf "$fresh"
		fail "the download failed"
	}
	touch "$fresh/.complete"
	chmod -R a+rX "$fresh"
	mv -T "$fresh" "$1" 2>/dev/null || rm -rf "$fresh" # another was faster
	[ -f "$1/.complete" ] || fail "nothing was downloaded to $1"
}

# java_tune FOLDER OPTION...: how a Java machine is to run for tests, in `tuned`: up soon rather than fast in the long run, with the
# classes that archive_classes has left. With SLUICE_STEADY_SERVICES set, for measurements: with these options, as people run it.
java_tune() {
	tuned=("${@:2}")
	[ -z "${SLUICE_STEADY_SERVICES:-}" ] || return 0
	tuned=(-XX:TieredStopAtLevel=1 -XX:+UseSerialGC)
	if [ "${archive:-}" ]; then
		tuned+=(-XX:ArchiveClassesAtExit="$archive")
	elif [ -f "$1/classes.jsa" ]; then
		tuned+=(-XX:SharedArchiveFile="$1/classes.jsa")
	fi
}

# archive_classes FOLDER: once. The script's start and stop, and what was loaded is kept as a file that the next ones map: they
# take half the time and half the processor's.
archive_classes() {
	[ ! -f "$1/classes.jsa" ] && [ -z "${archive:-}" ] && [ -w "$1" ] || return 0
	local scratch
	scratch=$(mktemp -d "$1.XXXXXX")
	if (unset SLUICE_STEADY_SERVICES && archive=$scratch/classes.jsa dir=$scratch/service && start "" && stop) >"$scratch/log" 2>&1; then
		# A machine that is too busy to write it in time starts without.
		[ ! -f "$scratch/classes.jsa" ] || mv "$scratch/classes.jsa" "$1/"
	else
		cat "$scratch/log" >&2
	fi
	rm -rf "$scratch"
}

# process_stop PID_FILE [--kill]: within half a minute, --kill as a crash would; harmless where nothing runs.
process_stop() {
	local pid
	pid=$(running_pid) || return 0
	if [ "${2:-}" = --kill ]; then
		kill -9 "$pid"
	else
		kill "$pid"
		kill -CONT "$pid"
	fi
	for _ in $(seq 300); do
		running_pid >/dev/null || break
		sleep 0.1
	done
	if pid=$(running_pid); then
		kill -9 "$pid" && sleep 0.5
	fi
	rm -f "$1"
}
