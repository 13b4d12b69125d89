"""Declares the services of an application, once: topics, subscriptions and whatever lists services."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sagakit.bus import SubscriptionSpec, subscription_name
from sagakit.ignored import Ignored

NAME_MAX_LENGTH = 30
"""Of a service: with what is appended to it, it fits into the names of Kubernetes and of Google Cloud."""
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
# https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names
_TOPIC = re.compile(r"(?!goog)[A-Za-z][A-Za-z0-9._~+%-]{2,199}")


@dataclass(frozen=True, slots=True)
class Resources:
    """CPU and memory of one process in Kubernetes' units, and how far the service scales out."""

    cpu_request: str = "100m"
    memory_request: str = "160Mi"
    cpu_limit: str = "1"
    memory_limit: str = "512Mi"
    max_replicas: int = 10


DEFAULT_RESOURCES = Resources()


@dataclass(frozen=True, slots=True)
class ServiceDeclaration:
    """One service: its name, what it publishes to, and whom it receives events from."""

    name: str
    """Matches `[a-z][a-z0-9]*(-[a-z0-9]+)*`; part of its subscriptions, kinds and host name."""
    topic: str | None = None
    """The topic that it publishes to; None: it publishes nothing."""
    subscribes_to: Sequence[str] = ()
    """The names of the services whose events it receives, or of foreign topics."""
    awaits: Sequence[str] = ()
    """Services that subscribe to it and whose answers it awaits: it publishes again until it has them.

    Any other subscriber has only the broker's own at-least-once delivery against the loss of a message."""
    grpc_services: Sequence[str] = ()
    """The full names of its gRPC services, such as `com.example.service.purchase.Purchase`."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables of its own, beside those of its topics, wherever it runs."""
    resources: Resources = DEFAULT_RESOURCES
    """Its CPU and memory in a cluster."""
    expiring_kinds: Sequence[str] = ()
    """Kinds of its own, beside its inbox, whose entities expire at their `expires_at`."""
    audit: str = ""
    """`module:NAME` of an `Audit` of its records, which `sagactl audit` runs."""
    backfill: str = ""
    """`module:NAME` of a `Backfill`: the records from which `sagactl backfill` publishes its events again."""
    ignores: str = ""
    """`module:NAME` of a dict, what it ignores (`Ignored`) by publisher: Pub/Sub need not deliver that."""
    module: str = ""
    """Its Python package, which `python -m` runs; "": `services.<package>`."""

    def __post_init__(self) -> None:
        check_name(self.name, "service")
        if self.topic is not None:
            _check_topic(self.topic)

    @property
    def package(self) -> str:
        """The name of its Python package: `loyalty_points` for `loyalty-points`."""
        return self.name.replace("-", "_")

    @property
    def import_name(self) -> str:
        """The full name of its Python package: `services.loyalty_points` unless `module` names another."""
        return self.module or f"services.{self.package}"

    @property
    def address_variable(self) -> str:
        """The variable that names its address to its clients: `LOYALTY_POINTS_ADDRESS`."""
        return f"{self.package.upper()}_ADDRESS"


@dataclass(frozen=True, slots=True)
class Topology:
    """All services of an application. Raises ValueError if they do not fit together."""

    services: Sequence[ServiceDeclaration]
    dead_letter_topic: str = "dead-letter"
    dead_letter_subscription: str = "dead-letter"
    foreign_topics: Mapping[str, str] = field(default_factory=dict)
    """Topics that others publish to, by the name that `subscribes_to` uses."""

    def __post_init__(self) -> None:
        names = [service.name for service in self.services]
        topics = [*self.topics.values(), *self.foreign_topics.values(), self.dead_letter_topic]
        for what, values in (("service", [*names, *self.foreign_topics]), ("topic", topics)):
            for value in values:
                if values.count(value) > 1:
                    raise ValueError(f"the {what} {value!r} is declared twice")
        for topic in topics:
            _check_topic(topic)
        sources = {**self.topics, **self.foreign_topics}
        for service in self.services:
            for publisher in service.subscribes_to:
                if publisher not in sources:
                    raise ValueError(f"{service.name} subscribes to {publisher!r}, which publishes nothing")
            for awaited in service.awaits:
                self._check_awaits(service, awaited)

    def _check_awaits(self, service: ServiceDeclaration, awaited: str) -> None:
        asked = next((each.subscribes_to for each in self.services if each.name == awaited), ())
        if service.name not in asked:
            raise ValueError(f"{service.name} awaits {awaited!r}, which does not subscribe to it")
        if awaited not in service.subscribes_to:
            raise ValueError(f"{service.name} awaits {awaited!r}, and does not subscribe to its answers")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the services, in the order of their declarations."""
        return tuple(service.name for service in self.services)

    @property
    def topics(self) -> Mapping[str, str]:
        """The topic of each service that publishes."""
        return {service.name: service.topic for service in self.services if service.topic is not None}

    @property
    def grpc_services(self) -> Mapping[str, str]:
        """The full name of the first gRPC service of each service that has one."""
        return {service.name: service.grpc_services[0] for service in self.services if service.grpc_services}

    def service(self, name: str) -> ServiceDeclaration:
        """Return a declaration. Raises KeyError if there is none."""
        return {service.name: service for service in self.services}[name]

    def subscribed_topics(self, name: str) -> tuple[str, ...]:
        """Return the topics that a service subscribes to, in the order of `EVENT_SUBSCRIBE_TOPICS`."""
        sources = {**self.topics, **self.foreign_topics}
        return tuple(sources[publisher] for publisher in self.service(name).subscribes_to)

    def subscriptions(self) -> dict[str, str]:
        """Return every service's subscriptions: name → topic. That of the dead letters is not included."""
        return {
            subscription_name(name, topic): topic
            for name in self.names
            for topic in self.subscribed_topics(name)
        }

    def all_topics(self) -> list[str]:
        """Return the topics to create: the services' and, last, that of the dead letters."""
        return [*self.topics.values(), self.dead_letter_topic]

    def subscription_specs(self, ignores: Mapping[str, Mapping[str, Ignored]] = {}) -> list[SubscriptionSpec]:
        """Return the subscriptions to create; the last is that of the dead letters, which has none itself.

        `ignores`: by service and publisher, what need not be delivered.
        """
        sources = {**self.topics, **self.foreign_topics}
        own = [
            SubscriptionSpec(
                subscription_name(service.name, sources[publisher]),
                sources[publisher],
                self.dead_letter_topic,
                ignored=ignores.get(service.name, {}).get(publisher),
            )
            for service in self.services
            for publisher in service.subscribes_to
        ]
        return [*own, SubscriptionSpec(self.dead_letter_subscription, self.dead_letter_topic, None)]

    def address_environ(self, addresses: Mapping[str, str]) -> dict[str, str]:
        """Return the variables that name the services' addresses, given by service, to a client."""
        return {self.service(name).address_variable: address for name, address in addresses.items()}

    def environ(self, name: str) -> dict[str, str]:
        """Return the variables of a service's process: the names of its topics, and those of its own."""
        service = self.service(name)
        publishes_to = service.topic
        return {
            **({} if publishes_to is None else {"EVENT_PUBLISH_TOPIC": publishes_to}),
            "EVENT_SUBSCRIBE_TOPICS": ",".join(self.subscribed_topics(name)),
            "EVENT_DEAD_LETTER_TOPIC": self.dead_letter_topic,
            **service.environment,
        }


def check_name(name: str, what: str) -> None:
    """Raise ValueError if `name` is none of a service, or of what else is named by the same rule."""
    if not _NAME.fullmatch(name) or len(name) > NAME_MAX_LENGTH:
        raise ValueError(
            f"{name!r} is no name of a {what}: it must match {_NAME.pattern} "
            f"and have at most {NAME_MAX_LENGTH} characters"
        )


def _check_topic(topic: str) -> None:
    if not _TOPIC.fullmatch(topic):
        raise ValueError(
            f"{topic!r} is no name of a topic: 3 to 200 of A-Z a-z 0-9 - . _ ~ + %, not beginning with goog"
        )
