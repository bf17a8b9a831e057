#!/usr/bin/env bash
# Builds the image of kind's node, and the two base images that Dockerfiles name, on a machine that
# reaches Debian's packages and Go's modules but no image registry. docs/kind.md says what for.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."
HERE=$PWD/tests/cluster/nodeimage
WORK=${WORK:-$(.venv/bin/python -c 'from tests.cluster import cache; print(cache.cache_dir() / "nodeimage")')}
TAG=localhost/kindest-node
SUITE=bookworm
# Of containerd, crictl and CoreDNS about what kind's own image has, of the provisioner what is to
# be had as a module.
MODULES=(
  github.com/containerd/containerd/v2/cmd/containerd@v2.3.4
  github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2@v2.3.4
  github.com/containerd/containerd/v2/cmd/ctr@v2.3.4
  github.com/coredns/coredns@v1.14.6
  github.com/rancher/local-path-provisioner@v0.0.30
  sigs.k8s.io/cri-tools/cmd/crictl@v1.36.0
)
export DOCKER_BUILDKIT=0 CGO_ENABLED=0 GOFLAGS=-trimpath

say() { echo "==> $*" >&2; }
# So that `make clean-all` deletes it.
note() { .venv/bin/python -c 'import sys; from tests.cluster import docker; docker.note_image(sys.argv[1])' "$1"; }
ours() { .venv/bin/python -c "from tests.cluster import binaries; print(binaries.$1)"; }

programs() {
  say "building the programs"
  KUBERNETES=$(ours KUBERNETES)
  HYPERKUBE=$(ours 'hyperkube()')
  PAUSE=$(ours 'pause()')
  KIND=$(.venv/bin/python -m tests.cluster binary kind)
  KIND_SOURCE=$(go mod download -json "$(ours 'INSTALLED["kind"]')" | jq -r .Dir)
  mkdir -p "$WORK/bin"
  for module in "${MODULES[@]}"; do
    say "building ${module}"
    GOBIN=$WORK/bin go install -tags no_btrfs,no_zfs,no_devmapper -ldflags "-s -w" "$module"
  done
  # kubeadm needs modules that hyperkube does not, so its lists are copied and may grow.
  cp tests/cluster/hyperkube/go.mod "$WORK/kubeadm.mod"
  cp tests/cluster/hyperkube/go.sum "$WORK/kubeadm.sum"
  (cd tests/cluster/hyperkube && go build -modfile="$WORK/kubeadm.mod" -mod=mod -buildvcs=false \
    -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=${KUBERNETES}" \
    -o "$WORK/bin/kubeadm" k8s.io/kubernetes/cmd/kubeadm)
}

debian() { # NAME PACKAGES [OPTION...]: an image of Debian's packages
  local name=$1 packages=$2
  shift 2
  if ! docker image inspect "$name" >/dev/null 2>&1; then
    say "making ${name} of Debian's packages"
    mmdebstrap --variant=minbase --dpkgopt='path-exclude=/usr/share/doc/*' \
      --dpkgopt='path-exclude=/usr/share/man/*' --include="$packages" "$@" "$SUITE" - |
      docker import - "$name" >/dev/null || {
      # Of a part of the packages, or of none.
      docker image rm --force "$name" >/dev/null 2>&1 || true
      exit 1
    }
    note "$name"
  fi
}

image() { # NAME DOCKERFILE FILE...: an image of a Dockerfile of this folder and some files
  local name=$1 dockerfile=$2 context=$WORK/context
  shift 2
  say "building ${name}"
  rm -rf "$context"
  mkdir "$context"
  cp -rL "$@" "$context"
  docker build --quiet --tag "$name" --file "$HERE/$dockerfile" "$context" >/dev/null
  note "$name"
}

archive() { # IMAGE ARCHIVE NAME...: an archive with the image, under exactly these names
  local image=$1 archive=$2 folder=$WORK/archive
  shift 2
  rm -rf "$folder"
  mkdir "$folder"
  docker save "$image" | tar -x -C "$folder"
  # Docker shortens names, kind looks for whole ones, and in the first of these files.
  rm -f "$folder/repositories"
  jq '.[0].RepoTags = $ARGS.positional' --args "$@" <"$folder/manifest.json" >"$folder/new"
  mv "$folder/new" "$folder/manifest.json"
  (cd "$folder" && tar -cf "$archive" manifest.json $(ls | grep -v '^manifest.json$'))
}

base_images() {
  local like_official=(
    --customize-hook='rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED'
    --customize-hook='ln -sf python3 "$1"/usr/bin/python'
  )
  debian python:3.11 python3-venv,python3-pip,binutils,ca-certificates "${like_official[@]}"
  debian python:3.11-slim python3,ca-certificates "${like_official[@]}"
  docker image inspect golang:1.26 >/dev/null 2>&1 ||
    image golang:1.26 golang.Dockerfile "$(go env GOROOT)"
}

node_image() {
  debian localhost/node-debian:$SUITE "$(tr '\n' ',' <"$HERE/packages.txt")"
  debian localhost/node-tools:$SUITE busybox-static,conntrack,iptables,kmod,nftables
  local bin=$WORK/bin server=$WORK/server/kubernetes/server/bin
  chmod -R u+w "$WORK/files" 2>/dev/null || true
  rm -rf "$WORK/files" "$WORK/server"
  cp -r "$KIND_SOURCE/images/base/files" "$WORK/files"
  image localhost/kind-base:core4 base.Dockerfile "$WORK/files" "$bin"/{containerd,containerd-shim-runc-v2,crictl,ctr}
  image localhost/kubernetes:core4 kubernetes.Dockerfile "$HYPERKUBE/hyperkube" "$bin/local-path-provisioner"
  image localhost/kindnetd:core4 network.Dockerfile "$HERE/network.sh"
  image localhost/coredns:core4 coredns.Dockerfile "$bin/coredns"
  image localhost/pause:core4 pause.Dockerfile "$PAUSE"
  mkdir -p "$server"
  echo "$KUBERNETES" >"$WORK/server/kubernetes/version"
  cp "$bin/kubeadm" "$server"
  cp -L "$HYPERKUBE/kubelet" "$HYPERKUBE/kubectl" "$server"
  # kind takes exactly these four files, whatever images are in them.
  local wanted kinds
  wanted=$("$bin/kubeadm" config images list --kubernetes-version "$KUBERNETES")
  kinds=$(grep -ho 'docker.io/kindest/[^"]*' "$KIND_SOURCE"/pkg/build/nodeimage/const_*.go)
  archive localhost/kubernetes:core4 "$server/kube-apiserver.tar" \
    $(grep -E '/(etcd|kube-[a-z-]+):' <<<"$wanted") $(grep local-path <<<"$kinds")
  archive localhost/coredns:core4 "$server/kube-controller-manager.tar" $(grep coredns <<<"$wanted")
  archive localhost/kindnetd:core4 "$server/kube-scheduler.tar" $(grep kindnetd <<<"$kinds")
  archive localhost/pause:core4 "$server/kube-proxy.tar" \
    "$(sed -n 's/.*sandbox_image = "\(.*\)"/\1/p' "$WORK/files/etc/containerd/config.toml")"
  say "building ${TAG}:${KUBERNETES}"
  tar -C "$WORK/server" -cf - kubernetes | gzip -1 >"$WORK/server.tar.gz"
  "$KIND" build node-image --quiet --type file --base-image localhost/kind-base:core4 \
    --image "$TAG:$KUBERNETES" "$WORK/server.tar.gz" >&2
  note "$TAG:$KUBERNETES"
  rm -rf "$WORK/archive" "$WORK/context" "$WORK/server" "$WORK/server.tar.gz"
}

mkdir -p "$WORK"
programs
base_images
node_image
echo "$TAG:$KUBERNETES"
