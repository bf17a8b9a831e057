# The machine's own Go, where the image of that name can't be pulled.
FROM python:3.11-slim
COPY go /usr/local/go
ENV PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
