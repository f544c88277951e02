#!/bin/sh
# Has the proxy load its configuration anew, and waits until it has.
#
#   reload.sh SIGNAL
#
# A signal can get lost: HAProxy 2.6 forgets one that comes while it starts or
# reloads, and would go on with old keys. A new worker process is the proof that it
# was heard.
set -eu

master=$(cat /run/proxy.pid)
workers() { cat /proc/[0-9]*/stat 2>/dev/null | awk -v master="$master" '$4 == master { print $1 }'; }

until [ -n "$(workers)" ]; do sleep 0.1; done # it is just starting
before=$(workers)
for _ in 1 2 3 4 5; do
	kill -s "$1" "$master"
	for _ in $(seq 20); do
		sleep 0.1
		if workers | grep -qvxF "$before"; then
			# What changes meanwhile makes one reload. Else many changes at
			# once would leave many old workers behind. It is a part of the
			# drain: an instance whose key goes now is known until the next one.
			sleep 0.5
			exit
		fi
	done
done
echo "no new worker process after the signal $1"
exit 1
