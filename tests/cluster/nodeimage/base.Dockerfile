# What kind calls the base image: systemd, containerd and the files that kind's module has for it.
FROM localhost/node-debian:bookworm
COPY files/ /
COPY containerd containerd-shim-runc-v2 crictl ctr /usr/local/bin/
# Services that a container has no use for are not started. restrict_oom_score_adj: else runc ends
# where root lacks CAP_SYS_RESOURCE.
RUN chmod 755 /kind /kind/bin/* /usr/local/bin/* \
 && sed -i 's/restrict_oom_score_adj = false/restrict_oom_score_adj = true/' /etc/containerd/config.toml \
 && rm -f /etc/systemd/system/*.wants/* /lib/systemd/system/basic.target.wants/* \
      /lib/systemd/system/local-fs.target.wants/* /lib/systemd/system/multi-user.target.wants/* \
      /lib/systemd/system/sockets.target.wants/*initctl* /lib/systemd/system/sockets.target.wants/*udev* \
      /lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service \
 && echo ReadKMsg=no >> /etc/systemd/journald.conf \
 && ln -sf /usr/lib/systemd/systemd /sbin/init \
 && systemctl enable containerd.service kubelet.service undo-mount-hacks.service \
 && systemctl mask systemd-binfmt.service \
 && mkdir -p /etc/kubernetes/manifests /opt/cni/bin \
 && for name in host-local loopback portmap ptp; do cp /usr/lib/cni/$name /opt/cni/bin/; done \
 && ctr oci spec \
    | jq '.hooks.createContainer += [{"path": "/kind/bin/mount-product-files.sh"}] | del(.process.rlimits)' \
    > /etc/containerd/cri-base.json
ENV container=docker
STOPSIGNAL SIGRTMIN+3
ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]
