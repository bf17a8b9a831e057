# The image of the service's processes, and of jobs whose template names no image. It builds by itself, with
# `docker build .` or `buildah bud .`: from the lock files, whose hashes are checked, and the sources.
#
#   PYTHON        version of the official images that are used.
#   BUILD_IMAGE   builds: Python with venv and pip, and binutils' strip. Its Python must be where that of BASE_IMAGE is,
#                 and of the same minor version.
#   BASE_IMAGE    runs: any image with Python 3.11 or later.
#   WHEELS        a folder of the context with wheels made elsewhere, for machines without a package index: `deps/` has
#                 all of requirements-image.lock, `own/` those of this checkout. `make image` builds with it.
#   PIP_INDEX_URL a package index in the place of PyPI.
ARG PYTHON=3.11
ARG BUILD_IMAGE=python:${PYTHON}
ARG BASE_IMAGE=python:${PYTHON}-slim

FROM ${BUILD_IMAGE} AS dependencies
ARG WHEELS=none
ARG PIP_INDEX_URL
# A pattern, since it may match nothing.
COPY requirements-image.lock ${WHEELS}/deps/*.whl /wheels/
RUN python3 -m venv --without-pip /opt/core4 \
    && if ls /wheels/*.whl >/dev/null 2>&1; then export PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels; fi \
    && python3 -m pip --python /opt/core4/bin/python3 install --require-hashes --only-binary :all: --no-deps \
        --no-cache-dir --no-compile --quiet --disable-pip-version-check --root-user-action=ignore \
        --requirement /wheels/requirements-image.lock
COPY image/slim.sh /
RUN sh /slim.sh /opt/core4

FROM dependencies AS project
ARG WHEELS=none
ARG PIP_INDEX_URL
COPY requirements-build.lock pyproject.toml README.md LICENSE ${WHEELS}/own/*.whl /src/
COPY api/ /src/api/
COPY domain/ /src/domain/
COPY journal/ /src/journal/
COPY kube/ /src/kube/
COPY operator/ /src/operator/
COPY process/ /src/process/
COPY runtime/ /src/runtime/
RUN if ! ls /src/*.whl >/dev/null 2>&1; then \
        python3 -m venv /build \
        && /build/bin/pip install --require-hashes --only-binary :all: --no-cache-dir --quiet \
            --disable-pip-version-check --requirement /src/requirements-build.lock \
        && /build/bin/pip wheel --no-build-isolation --no-deps --no-cache-dir --quiet \
            --disable-pip-version-check --wheel-dir /src /src /src/runtime; \
    fi
# A prefix of its own, so that the final image gets the project as a small layer of its own. The interpreter that
# installs, and so the one that the commands name, is the environment's.
RUN python3 -m pip --python /opt/core4/bin/python3 install --no-index --no-deps --no-cache-dir --no-compile \
        --quiet --disable-pip-version-check --root-user-action=ignore --prefix /project --ignore-installed /src/*.whl \
    && /opt/core4/bin/python3 -m compileall -q --invalidation-mode unchecked-hash /project/lib
# Fails if slim.sh has deleted something that is used.
COPY image/check.py /
RUN PYTHONPATH="$(echo /project/lib/python3.*/site-packages)" PYTHONDONTWRITEBYTECODE=1 /opt/core4/bin/python3 /check.py

FROM ${BASE_IMAGE} AS base
COPY image/base.sh /
RUN sh /base.sh && rm /base.sh

# Copied as a whole, so that what was deleted from the base is in no layer.
FROM scratch
COPY --from=base / /
COPY --from=dependencies /opt/core4 /opt/core4
COPY --from=project /project /opt/core4
ENV PATH=/opt/core4/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/tmp \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
ARG PYTHON
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
