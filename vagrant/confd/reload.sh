#!/bin/sh
# Has the proxy, the container's first process, load its configuration anew, and
# waits until it has.
#
#   reload.sh NAME SIGNAL   such as haproxy USR2
#
# A signal can get lost: HAProxy 2.6 forgets one that comes while it starts or
# reloads, and the proxy would go on with old keys. A new worker process is the
# proof that it was heard.
set -eu

workers() { cat /proc/[0-9]*/stat 2>/dev/null | awk -v name="($1)" '$2 == name && $4 == 1 { print $1 }'; }

until [ -n "$(workers "$1")" ]; do sleep 0.1; done # it is just starting
before=$(workers "$1")
for _ in 1 2 3 4 5; do
	kill -s "$2" 1
	for _ in $(seq 20); do
		sleep 0.1
		if workers "$1" | grep -qvxF "$before"; then
			# What changes meanwhile makes one reload. Else many changes at
			# once would leave many old workers behind.
			sleep 1
			exit
		fi
	done
done
echo "$1 did not reload"
exit 1
