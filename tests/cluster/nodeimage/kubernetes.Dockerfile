# One image for all programs that pods of the control plane call by their names.
FROM localhost/node-tools:bookworm
COPY hyperkube local-path-provisioner /usr/local/bin/
RUN cd /usr/local/bin \
 && for name in etcd kube-apiserver kube-controller-manager kube-proxy kube-scheduler; do ln -s hyperkube $name; done
