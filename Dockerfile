# One image per service: `docker build --target service --build-arg SERVICE=purchase .` (or that of another package in
# services/), and one for operators: `docker build --target sagactl .`.
# Another base needs Python 3.11 or newer as `python3`, with venv and pip, and libstdc++6, which gRPC links.
ARG BASE=docker.io/library/python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d

FROM ${BASE} AS dependencies
WORKDIR /build
COPY requirements.txt ./
# Build tools (and pip itself) are not copied into the final images.
RUN python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.txt \
    && /opt/venv/bin/pip uninstall --yes hatchling editables setuptools pip

FROM dependencies AS code
WORKDIR /app
COPY contract contract
COPY rpc rpc
COPY kit/sagakit sagakit
COPY client/sagaclient sagaclient
COPY sagactl sagactl
COPY services services
# The root file system is read-only at run time, so bytecode is compiled here.
RUN /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /app

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
ENTRYPOINT ["python", "main.py"]

# Needs the kinds of every service.
FROM runtime AS sagactl
COPY --from=code /app/services services
COPY --from=code /app/sagaclient sagaclient
COPY --from=code /app/sagactl sagactl
ENTRYPOINT ["python", "-m", "sagactl"]
