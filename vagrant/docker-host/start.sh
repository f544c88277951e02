#!/bin/sh
# What an init system does on a real host: starts Docker, then sshd.
set -eu

# Docker mounts the cgroups read-only. Mounted anew they can be written, and the
# engine here needs that for its containers.
mounts=$(awk '$3 == "cgroup"' /proc/mounts) # by type: version 2 is named cgroup, too
echo "$mounts" | while read -r _ dir _ options _; do
	[ -n "$dir" ] || continue
	umount "$dir"
	# The controllers alone are left of "rw,nosuid,nodev,noexec,relatime,cpu".
	mount -t cgroup -o "${options##*relatime,}" cgroup "$dir"
done
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then # version 2: one tree
	mount -o remount,rw /sys/fs/cgroup
	# A group with processes of its own can't hand controllers on.
	mkdir -p /sys/fs/cgroup/host
	while read -r pid; do echo "$pid" >/sys/fs/cgroup/host/cgroup.procs || true; done </sys/fs/cgroup/cgroup.procs
	sed 's/\</+/g' /sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control
fi

# Packets as big as the network below takes, which some clouds make smaller.
dockerd --mtu "$(cat /sys/class/net/eth0/mtu)" >/var/log/docker.log 2>&1 &
# Whoever logs in finds it running, or that log.
timeout 60 sh -c 'until docker version; do sleep 0.2; done' >/dev/null 2>&1 || true

# As the first process: when it ends, so does all the rest, as with a power cut.
mkdir -p /run/sshd
exec /usr/sbin/sshd -D
