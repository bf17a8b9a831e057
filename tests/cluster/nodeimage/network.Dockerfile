FROM localhost/node-tools:bookworm
COPY network.sh /network.sh
ENTRYPOINT ["busybox", "sh", "/network.sh"]
