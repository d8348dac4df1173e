# The first process of the node's namespaces. Argument: the cluster's folder.
set -eu
folder=$1
# Nothing reaches the machine's mounts (unshare saw to it); pods may hand mounts to each other.
mount --make-rshared /
mount -t tmpfs tmpfs /run
mkdir /run/lock
mkdir "$folder/layers"
mount -t tmpfs tmpfs "$folder/layers"
# What the node's programs write into the system's folders stays here.
for name in etc opt var; do
    mkdir -p "$folder/layers/$name/upper" "$folder/layers/$name/work"
    mount -t overlay -o \
        "lowerdir=/$name,upperdir=$folder/layers/$name/upper,workdir=$folder/layers/$name/work" \
        overlay "/$name"
done
rm -rf /etc/cni /opt/cni /var/lib/cni /var/log/pods /var/log/containers
mkdir -p /etc/cni/net.d /opt/cni/bin
cp /usr/lib/cni/* /opt/cni/bin/
cp "$folder/bridge.conflist" /etc/cni/net.d/10-bridge.conflist
printf '127.0.0.1 localhost\n' > /etc/hosts
hostname node
ip link set lo up
sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0
touch "$folder/inside"
# Orphans become children of this shell, which reaps them.
while :; do sleep 1000; done
