#!/bin/sh
# Runs a proxy, and beside it confd, which keeps the proxy's configuration in step
# with the keys. Ends with the proxy.
#
#   start.sh FILE SIGNAL COMMAND...
#
# FILE is what confd renders, COMMAND runs the proxy in the foreground, and SIGNAL
# has it finish the requests under way and exit.
set -eu

: "${ETCD:?is required, such as http://10.1.0.101:2379, or several with commas}"
file=$1 signal=$2
shift 2

nodes=
for url in $(echo "$ETCD" | tr , ' '); do
	nodes="$nodes -node $url"
done

# confd reads the keys when it starts and on each change. If etcd does not answer
# that one read, or comes back with less than it had, it would wait for the next
# change, or forever. So it starts anew every minute; where nothing has changed,
# that reloads nothing.
follow() {
	while :; do
		# A file that was written, and not loaded: confd was interrupted in between.
		[ ! -e /run/unloaded ] || echo '# not loaded yet' >>"$file"
		# shellcheck disable=SC2086 # one word for each URL and flag
		timeout --foreground 60 confd -watch -backend etcd -prefix "/${KEY:-service}" $nodes ||
			[ $? = 124 ] || sleep 1
	done
}

"$@" &
proxy=$!
echo "$proxy" >/run/proxy.pid
# Again and again: HAProxy 2.6 forgets a signal that comes while it starts.
trap 'while kill -s "$signal" "$proxy" 2>/dev/null; do sleep 1; done; exit 0' TERM
follow &
wait "$proxy"
