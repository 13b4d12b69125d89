# One image per service: `docker build --target purchase .` (or stock, payment, delivery, gateway, sagactl).
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

FROM runtime AS purchase
COPY --from=code /app/services/__init__.py services/
COPY --from=code /app/services/purchase services/purchase
EXPOSE 50051
ENTRYPOINT ["python", "-m", "services.purchase"]

FROM runtime AS stock
COPY --from=code /app/services/__init__.py services/
COPY --from=code /app/services/stock services/stock
EXPOSE 50051
ENTRYPOINT ["python", "-m", "services.stock"]

FROM runtime AS payment
COPY --from=code /app/services/__init__.py services/
COPY --from=code /app/services/payment services/payment
EXPOSE 50051
ENTRYPOINT ["python", "-m", "services.payment"]

FROM runtime AS delivery
COPY --from=code /app/services/__init__.py services/
COPY --from=code /app/services/delivery services/delivery
EXPOSE 50051
ENTRYPOINT ["python", "-m", "services.delivery"]

FROM runtime AS gateway
COPY --from=code /app/services/__init__.py services/
COPY --from=code /app/services/gateway services/gateway
EXPOSE 8080
ENTRYPOINT ["python", "-m", "services.gateway"]

# Needs the kinds of every service.
FROM runtime AS sagactl
COPY --from=code /app/services services
COPY --from=code /app/sagaclient sagaclient
COPY --from=code /app/sagactl sagactl
ENTRYPOINT ["python", "-m", "sagactl"]
