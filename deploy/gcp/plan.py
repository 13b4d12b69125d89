"""The resources the suite needs in a Google Cloud project, derived from the services' topology."""

from collections.abc import Iterator
from dataclasses import dataclass

from contract.topology import TOPOLOGY
from deploy.gcp import access
from deploy.gcp.steps import NUMBER, Step, gcloud
from sagakit.backends.gcp.filters import filter_of
from sagakit.backends.gcp.provision import retention_seconds
from sagakit.bus import SubscriptionSpec
from sagakit.ctl.load import provisioned
from sagakit.inbox import inbox_kind

NAME = "saga"
"""Name of the repository, the address, the certificates, the namespace and, unless restored, the database."""

APIS = (
    "artifactregistry",
    "certificatemanager",
    "compute",
    "container",
    "datastore",
    "dns",
    "firestore",
    "iam",
    "monitoring",
    "pubsub",
)
EXPIRING = tuple(
    kind for service in TOPOLOGY.services for kind in (inbox_kind(service.name), *service.expiring_kinds)
)
"""Kinds whose entities have `expires_at`."""

PRIVATE_GOOGLE = "199.36.153.8,199.36.153.9,199.36.153.10,199.36.153.11"
"""private.googleapis.com (https://cloud.google.com/vpc/docs/configure-private-google-access)."""


@dataclass(frozen=True, slots=True)
class Where:
    """Project, location and public name of the suite."""

    project: str
    region: str
    network: str = "default"
    subnet: str = "default"
    domain: str = ""
    """The gateway's public name; empty: no certificate is created."""
    ephemeral: str = ""
    """Project of the gateways' ephemeral subscriptions; empty: `PROJECT-ephemeral`."""

    database: str = NAME
    """The database that the services use: another one once a backup was restored."""

    @property
    def ephemeral_project(self) -> str:
        return self.ephemeral or f"{self.project}-ephemeral"


def setup(where: Where) -> Iterator[Step]:
    """Yield all steps, ordered by their dependencies."""
    apis = [f"{api}.googleapis.com" for api in APIS]
    yield Step("APIs", gcloud("services", "enable", *apis))
    if where.ephemeral_project != where.project:
        enable = ("services", "enable", "pubsub.googleapis.com", f"--project={where.ephemeral_project}")
        yield Step(f"API of {where.ephemeral_project}", gcloud(*enable))
    yield from _database(where)
    yield from _messages()
    yield from _images(where)
    yield from access.granted(where.project, where.ephemeral_project, NAME, where.database)
    yield from _network(where)
    yield from _public_address(where)


def _database(where: Where) -> Iterator[Step]:
    named = f"--database={where.database}"
    yield Step(
        f"database {where.database}",
        gcloud(
            *("firestore", "databases", "create", named, f"--location={where.region}"),
            *("--type=datastore-mode", "--delete-protection"),
        ),
        check=gcloud("firestore", "databases", "describe", named),
    )
    for kind in EXPIRING:
        update = ("firestore", "fields", "ttls", "update", "expires_at", f"--collection-group={kind}")
        yield Step(f"TTL of {kind}", gcloud(*update, named, "--enable-ttl", "--async"))


def _messages() -> Iterator[Step]:
    for topic in TOPOLOGY.all_topics():
        yield Step(
            f"topic {topic}",
            gcloud("pubsub", "topics", "create", topic),
            check=gcloud("pubsub", "topics", "describe", topic),
        )
    for spec in provisioned(TOPOLOGY):
        settings = _settings(spec)
        # Only a new one can have it; `sagactl provision` replaces one that must not stay.
        fixed = [
            f"--topic={spec.topic}",
            *([f"--message-filter={filter_of(spec.ignored)}"] if spec.ignored else []),
        ]
        yield Step(
            f"subscription {spec.name}",
            gcloud("pubsub", "subscriptions", "create", spec.name, *fixed, *settings),
            check=gcloud("pubsub", "subscriptions", "describe", spec.name),
            update=gcloud("pubsub", "subscriptions", "update", spec.name, *settings),
        )


def _settings(spec: SubscriptionSpec) -> list[str]:
    """Return the settings that `sagactl provision` uses."""
    settings = [
        f"--ack-deadline={spec.ack_deadline_seconds}",
        f"--message-retention-duration={retention_seconds(spec)}s",
        "--expiration-period=never",
        f"--min-retry-delay={spec.min_retry_seconds:g}s",
        f"--max-retry-delay={spec.max_retry_seconds:g}s",
    ]
    if spec.dead_letter_topic is None:
        return settings
    attempts = f"--max-delivery-attempts={spec.max_delivery_attempts}"
    return [*settings, f"--dead-letter-topic={spec.dead_letter_topic}", attempts]


def _images(where: Where) -> Iterator[Step]:
    place = f"--location={where.region}"
    yield Step(
        f"repository {NAME}",
        gcloud("artifacts", "repositories", "create", NAME, place, "--repository-format=docker"),
        check=gcloud("artifacts", "repositories", "describe", NAME, place),
    )
    nodes = f"serviceAccount:{NUMBER}-compute@developer.gserviceaccount.com"
    yield Step(
        "nodes may pull",
        gcloud(
            *("artifacts", "repositories", "add-iam-policy-binding", NAME, place),
            *(f"--member={nodes}", "--role=roles/artifactregistry.reader"),
        ),
    )


def _network(where: Where) -> Iterator[Step]:
    """Resolve Google's APIs to fixed addresses, which a NetworkPolicy can name."""
    subnet = ("compute", "networks", "subnets", "update", where.subnet, f"--region={where.region}")
    yield Step("Private Google Access", gcloud(*subnet, "--enable-private-ip-google-access"))
    zone = f"{NAME}-googleapis"
    yield Step(
        f"DNS zone {zone}",
        gcloud(
            *("dns", "managed-zones", "create", zone, "--dns-name=googleapis.com.", "--visibility=private"),
            *(f"--networks={where.network}", "--description=Google's APIs at private.googleapis.com"),
        ),
        check=gcloud("dns", "managed-zones", "describe", zone),
    )
    records = (
        ("private.googleapis.com.", "A", PRIVATE_GOOGLE),
        ("*.googleapis.com.", "CNAME", "private.googleapis.com."),
    )
    for name, kind, value in records:
        about = (name, f"--zone={zone}", f"--type={kind}")
        yield Step(
            f"DNS record {name}",
            gcloud("dns", "record-sets", "create", *about, "--ttl=300", f"--rrdatas={value}"),
            check=gcloud("dns", "record-sets", "describe", *about),
        )


def _public_address(where: Where) -> Iterator[Step]:
    yield Step(
        f"address {NAME}",
        gcloud("compute", "addresses", "create", NAME, "--global"),
        check=gcloud("compute", "addresses", "describe", NAME, "--global"),
    )
    if not where.domain:
        return
    certificate = ("certificate-manager", "certificates")
    yield Step(
        f"certificate of {where.domain}",
        gcloud(*certificate, "create", NAME, f"--domains={where.domain}"),
        check=gcloud(*certificate, "describe", NAME),
    )
    maps = ("certificate-manager", "maps")
    yield Step(
        f"certificate map {NAME}",
        gcloud(*maps, "create", NAME),
        check=gcloud(*maps, "describe", NAME),
    )
    entry = (NAME, f"--map={NAME}")
    yield Step(
        f"certificate map entry {NAME}",
        gcloud(*maps, "entries", "create", *entry, f"--certificates={NAME}", f"--hostname={where.domain}"),
        check=gcloud(*maps, "entries", "describe", *entry),
    )
