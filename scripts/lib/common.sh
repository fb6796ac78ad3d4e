# common.sh - what the scripts share. Sourced, never run.
#
# Messages go to stderr, results to stdout. Colours only where stderr is a terminal and NO_COLOR is not set.

# A descriptor that was closed would be that of the first file opened: what is printed would go there.
[ -e /proc/self/fd/0 ] || exec 0</dev/null
[ -e /proc/self/fd/1 ] || exec 1</dev/null # which nothing can be written to: that is told
[ -e /proc/self/fd/2 ] || exec 2>/dev/null

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

if [ -t 2 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then
	bold=$'\e[1m' red=$'\e[31m' green=$'\e[32m' yellow=$'\e[33m' plain=$'\e[0m'
else
	bold='' red='' green='' yellow='' plain=''
fi

say() { echo "${bold}==>${plain} $*" >&2; }
good() { echo "${green}$*${plain}" >&2; }
warn() { echo "${yellow}${0##*/}: $*${plain}" >&2; }
fail() {
	echo "${red}${0##*/}: $*${plain}" >&2
	exit 1
}

# The comment at the top of a script is its --help.
usage() {
	sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p}' "$0"
	exit "${1:-2}"
}

# The built programs: SLUICE_BIN, or the release build.
bin=${SLUICE_BIN:-$root/build/release/bin}
need_programs() {
	local program
	for program in "$@"; do
		[ -x "$bin/$program" ] || fail "$bin/$program is not there: build it with scripts/build (and scripts/deps before)"
	done
}
need_command() {
	command -v "$1" >/dev/null || fail "$1 is missing (Debian package $2): scripts/deps installs what is missing"
}
need_python() {
	[ -x /usr/bin/python3 ] || fail "/usr/bin/python3 is missing (Debian package python3): scripts/deps installs what is missing"
}
