# One image per service: `docker build --target service --build-arg SERVICE=purchase .` (or that of another package in
# services/), and one for operators: `docker build --target sagactl .`.
# Another base needs Python 3.11 or newer as `python3`, with venv and pip, and libstdc++6, which gRPC links.
ARG BASE=docker.io/library/python:3.13.14-slim-bookworm@sha256:9d7f287598e1a5a978c015ee176d8216435aaf335ed69ac3c38dd1bbb10e8d64

FROM ${BASE} AS dependencies
WORKDIR /build
# The same sources make the same bytecode: in one order, and without the time of the source in it.
ENV PYTHONHASHSEED=0 \
    PYTHONDONTWRITEBYTECODE=1
COPY requirements.txt ./
# Build tools (and pip itself) are not copied into the final images.
RUN python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --no-compile --disable-pip-version-check --require-hashes -r requirements.txt \
    && /opt/venv/bin/pip uninstall --yes \
        hatchling editables packaging pathspec pluggy tomlkit trove-classifiers setuptools pip \
    && /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/venv

FROM dependencies AS code
WORKDIR /app
COPY contract contract
COPY rpc rpc
COPY kit/sagakit sagakit
COPY client/sagaclient sagaclient
COPY sagactl sagactl
COPY services services
# The root file system is read-only at run time, so bytecode is compiled here. Every user may read the code,
# whatever the umask of the checkout was.
RUN chmod -R u=rwX,go=rX /app \
    && /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /app

# What is in the image, as CycloneDX.
FROM code AS sbom
ARG SERVICE=sagactl
COPY deploy/image_sbom.py /build/
RUN /opt/venv/bin/python /build/image_sbom.py "saga-${SERVICE}" >/build/sbom.cdx.json

FROM ${BASE} AS runtime
ENV PATH=/opt/venv/bin:${PATH} \
    PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /app
COPY --from=dependencies /opt/venv /opt/venv
COPY --from=code /app/contract contract
COPY --from=code /app/rpc rpc
COPY --from=code /app/sagakit sagakit
# An unprivileged user that owns no file of the image.
USER 65532:65532
STOPSIGNAL SIGTERM

FROM runtime AS service
# The name of its package, which is the only one of services/ in the image.
ARG SERVICE
COPY --from=code /app/services/__init__.py services/
COPY --from=code /app/services/${SERVICE} services/${SERVICE}
# An entry point without a shell has no variables: the module has the same name in every image.
COPY --from=code /app/services/${SERVICE}/__main__.py main.py
COPY --from=sbom /build/sbom.cdx.json ./
ENTRYPOINT ["python", "main.py"]

# Needs the kinds of every service.
FROM runtime AS sagactl
COPY --from=code /app/services services
COPY --from=code /app/sagaclient sagaclient
COPY --from=code /app/sagactl sagactl
COPY --from=sbom /build/sbom.cdx.json ./
ENTRYPOINT ["python", "-m", "sagactl"]
