# In the place of kindnetd, which is no module: the pods' network of a cluster with one node is a
# configuration for the CNI plug-ins, and nothing else.
set -eu
folder=/etc/cni/net.d
# The first /24 of the pods' addresses is the only node's.
subnet=${POD_SUBNET%.*.*/*}.0.0/24
# First of all: whoever sees the configuration may end this at once.
sleep infinity &
trap 'kill $!; exit 0' TERM
cat > $folder/.new <<END
{"cniVersion": "0.4.0", "name": "kindnet", "plugins": [
  {"type": "ptp", "ipMasq": true, "ipam": {
    "type": "host-local", "dataDir": "/run/cni-ipam-state",
    "ranges": [[{"subnet": "$subnet"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
END
mv $folder/.new $folder/10-kindnet.conflist
wait
