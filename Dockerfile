# The image of the service's processes and of jobs. It is built offline, from wheels that are made on
# the host (tests/cluster/wheels.py: build/wheels/deps and own), by docker build or buildah bud.
# The base: any image with python3 (3.11 or later), its venv module and pip.
ARG BASE_IMAGE=python:3.11-slim

FROM ${BASE_IMAGE} AS dependencies
COPY build/wheels/deps/ /wheels/
# Compiled here, because nothing can be written where it runs. Bytecode by hash of the source that is
# never checked again: time stamps of layers don't matter. The Kubernetes client's models, of which
# nothing is loaded unless used, would make half of it.
RUN python3 -m venv --without-pip /opt/core4 \
    && python3 -m pip --python /opt/core4/bin/python3 install \
        --no-index --no-deps --no-cache-dir --no-compile --quiet --disable-pip-version-check --root-user-action=ignore \
        /wheels/*.whl \
    && /opt/core4/bin/python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash \
        -x '/kubernetes/(aio/)?client/(api|models)/' /opt/core4/lib

FROM dependencies AS project
COPY build/wheels/own/ /own/
# A prefix of its own, so that the final image gets the project as a small layer of its own. The
# interpreter that installs, and so the one that the commands name, is the environment's.
RUN python3 -m pip --python /opt/core4/bin/python3 install \
        --no-index --no-deps --no-cache-dir --no-compile --quiet --disable-pip-version-check --root-user-action=ignore \
        --prefix /project --ignore-installed /own/*.whl \
    && /opt/core4/bin/python3 -m compileall -q --invalidation-mode unchecked-hash /project/lib

FROM ${BASE_IMAGE}
# Slim images have no bytecode of the standard library; where there is some it is left alone.
RUN echo 'core4:x:10001:10001:core4:/tmp:/usr/sbin/nologin' >> /etc/passwd \
    && echo 'core4:x:10001:' >> /etc/group \
    && python3 -c "import compileall, py_compile, re, sysconfig; compileall.compile_dir(sysconfig.get_path('stdlib'), quiet=2, rx=re.compile('/(site|dist)-packages/|/test/|/lib2to3/'), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)"
COPY --from=dependencies /opt/core4 /opt/core4
COPY --from=project /project /opt/core4
# PIP_PYTHON: pip, which is the base's, installs into the environment when somebody builds on this.
ENV PATH=/opt/core4/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/tmp \
    PIP_PYTHON=/opt/core4/bin/python3 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
ARG BASE_IMAGE
ARG VERSION=2.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="core4" \
      org.opencontainers.image.description="A job service for Kubernetes that speaks core4's job REST API" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${BASE_IMAGE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 10001:10001
CMD ["core4", "--version"]
