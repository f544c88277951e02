#!/bin/sh
# Makes a host of the demo from a plain Debian 12: Docker, the host's members of the
# etcd cluster, the image with the sample app and dockreg, the one with HAProxy, and
# dockreg's service, which runs once on each host.
# Run again, it leaves alone what is there, and builds the images anew. The service is
# started anew if its image is another one then.
#
#   provision.sh host-1|host-2 IP
set -eu
host=$1 ip=$2
repo=/vagrant
first=10.1.0.101 # host-1, where the cluster begins
second=10.1.0.102

if ! { command -v dockerd && command -v etcdctl && command -v curl; } >/dev/null; then
	echo "installing Docker and etcdctl ..."
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq
	apt-get install -y -qq docker.io etcd-client curl >/dev/null
fi
usermod -aG docker vagrant # so that the walk needs no sudo

# For hosts that reach no image registry: what "docker save" wrote elsewhere.
if [ -e $repo/vagrant/images.tar ]; then
	echo "loading the images from vagrant/images.tar ..."
	docker load --quiet --input $repo/vagrant/images.tar
else
	echo "building the image with etcd ..."
	docker build --quiet --tag dockreg-vagrant-etcd $repo/vagrant/etcd >/dev/null
	echo "building the image with the sample app and dockreg, in some minutes the first time ..."
	docker build --quiet --tag dockreg $repo >/dev/null
	echo "building the image with HAProxy, in some minutes the first time ..."
	docker build --quiet --tag dockreg-haproxy --file $repo/vagrant/haproxy/Dockerfile $repo/vagrant >/dev/null
fi

# member NAME CLIENT-PORT PEER-PORT STATE CLUSTER: in a container, which Docker
# starts again with the host.
member() {
	docker container inspect "$1" >/dev/null 2>&1 && return
	echo "starting the etcd member $1 ..."
	docker run -d --name "$1" --network host --restart always \
		--volume "$1:/var/lib/etcd" dockreg-vagrant-etcd --name "$1" --data-dir /var/lib/etcd/data \
		--listen-client-urls "http://$ip:$2,http://127.0.0.1:$2" \
		--advertise-client-urls "http://$ip:$2" \
		--listen-peer-urls "http://$ip:$3" --initial-advertise-peer-urls "http://$ip:$3" \
		--initial-cluster-state "$4" --initial-cluster "$5" >/dev/null
}

# retry SECONDS COMMAND: until it succeeds; the last time, it says why not.
retry() {
	end=$(($(date +%s) + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		if [ "$(date +%s)" -ge $end ]; then
			"$@"
			return
		fi
		sleep 1
	done
}

# A host-2 that was destroyed left its member behind. It can't come back with
# nothing in its memory, so it makes room for a new one.
join() {
	old=$(etcdctl --endpoints $first:2379 member list | sed -n "s|, .*http://$ip:2380,.*||p")
	[ -z "$old" ] || etcdctl --endpoints $first:2379 member remove "$old" || return
	etcdctl --endpoints $first:2379 member add etcd-c --peer-urls "http://$ip:2380"
}

# Two of the three members are on host-1, so that it makes a quorum by itself.
two=etcd-a=http://$first:2380,etcd-b=http://$first:12380
if [ "$host" = host-1 ]; then
	member etcd-a 2379 2380 new $two
	member etcd-b 12379 12380 new $two
elif ! docker container inspect etcd-c >/dev/null 2>&1; then
	echo "joining the etcd on host-1 ..."
	retry 600 join # host-1 may be on its way up
	member etcd-c 2379 2380 existing "$two,etcd-c=http://$ip:2380"
fi
retry 60 etcdctl endpoint health

# The service of the host, in a container too. It looks at the processes of all containers
# and at the host's IPs, so it shares the host's namespaces. It is root, as what it opens
# asks for, and needs no capability.
service() {
	if old=$(docker container inspect --format '{{.Image}}' dockreg-host 2>/dev/null); then
		[ "$old" != "$(docker image inspect --format '{{.Id}}' dockreg)" ] || return 0
		echo "replacing the service dockreg-host, which has an older image ..."
		docker rm -f dockreg-host >/dev/null
	else
		echo "starting the service dockreg-host ..."
	fi
	docker run -d --name dockreg-host --restart always \
		--pid host --cgroupns host --network host \
		--read-only --cap-drop ALL --security-opt no-new-privileges --no-healthcheck \
		--volume /run/dockreg:/run/dockreg --volume /var/run/docker.sock:/var/run/docker.sock \
		--entrypoint dockreg dockreg host --etcd "http://$first:2379,http://$second:2379" >/dev/null
}
service
retry 60 curl --fail --silent --show-error --unix-socket /run/dockreg/docker.sock http://dockreg/_ping
echo "$host is ready"
