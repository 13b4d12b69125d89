"""Declared services: what is derived from them, and which declarations are rejected."""

from dataclasses import replace

import pytest

from sagakit.bus import SubscriptionSpec
from sagakit.ignored import Ignored
from sagakit.inbox import inbox_kind
from sagakit.outbox import outbox_kind
from sagakit.topology import NAME_MAX_LENGTH, ServiceDeclaration, Topology

SHOP = Topology(
    (
        ServiceDeclaration("orders", topic="shop.orders", subscribes_to=("parcel-post", "requests")),
        ServiceDeclaration("parcel-post", topic="shop.parcels", subscribes_to=("orders",)),
        ServiceDeclaration("statistics", subscribes_to=("orders", "parcel-post")),
    ),
    foreign_topics={"requests": "another.requests"},
)


def test_topics_and_subscriptions_are_derived():
    assert SHOP.names == ("orders", "parcel-post", "statistics")
    assert SHOP.all_topics() == ["shop.orders", "shop.parcels", "dead-letter"]
    assert SHOP.subscriptions() == {
        "orders-service.shop.parcels": "shop.parcels",
        "orders-service.another.requests": "another.requests",
        "parcel-post-service.shop.orders": "shop.orders",
        "statistics-service.shop.orders": "shop.orders",
        "statistics-service.shop.parcels": "shop.parcels",
    }
    assert SHOP.subscription_specs()[-1] == SubscriptionSpec("dead-letter", "dead-letter", None)
    assert {spec.dead_letter_topic for spec in SHOP.subscription_specs()[:-1]} == {"dead-letter"}


def test_environment_of_a_service_names_its_topics():
    assert SHOP.environ("orders") == {
        "EVENT_PUBLISH_TOPIC": "shop.orders",
        "EVENT_SUBSCRIBE_TOPICS": "shop.parcels,another.requests",
        "EVENT_DEAD_LETTER_TOPIC": "dead-letter",
    }
    assert "EVENT_PUBLISH_TOPIC" not in SHOP.environ("statistics")


def test_environment_of_a_service_has_its_own_variables():
    topology = Topology((ServiceDeclaration("points", environment={"RATE": "3"}),))

    assert topology.environ("points")["RATE"] == "3"


def test_variable_of_an_address_has_no_hyphens():
    assert SHOP.service("parcel-post").address_variable == "PARCEL_POST_ADDRESS"
    assert SHOP.address_environ({"orders": "a:1", "parcel-post": "b:2"}) == {
        "ORDERS_ADDRESS": "a:1",
        "PARCEL_POST_ADDRESS": "b:2",
    }


def test_grpc_service_is_the_first_declared_one():
    services = (ServiceDeclaration("a", grpc_services=("shop.a.A", "shop.a.Admin")), ServiceDeclaration("b"))

    assert Topology(services).grpc_services == {"a": "shop.a.A"}


@pytest.mark.parametrize("name", ["", "Orders", "2nd", "a--b", "a-", "a_b", "a.b", "é", "a" * 31, "a\n"])
def test_name_that_kubernetes_or_google_cloud_reject_is_rejected(name: str):
    with pytest.raises(ValueError, match="no name of a service"):
        ServiceDeclaration(name)


def test_kinds_are_named_after_the_service():
    assert outbox_kind("parcel-post") == "ParcelPostPublishEvent"
    assert inbox_kind("orders") == "OrdersReceivedEvent"


def test_longest_names_fit_into_the_name_of_a_subscription():
    orders = ServiceDeclaration("a" * (NAME_MAX_LENGTH - 2) + "-b", topic="t" * 200)
    topology = Topology((orders, ServiceDeclaration("c" * NAME_MAX_LENGTH, subscribes_to=(orders.name,))))

    (subscription,) = topology.subscriptions()

    assert orders.package.isidentifier()
    assert len(subscription) <= 255


@pytest.mark.parametrize("topic", ["", "ab", "1ab", "googtopic", "a b c", "t" * 201, "a/b"])
def test_topic_that_pubsub_rejects_is_rejected(topic: str):
    with pytest.raises(ValueError, match="no name of a topic"):
        ServiceDeclaration("orders", topic=topic)


def test_declarations_that_do_not_fit_together_are_rejected():
    orders = ServiceDeclaration("orders", topic="shop.orders")
    with pytest.raises(ValueError, match="the service 'orders' is declared twice"):
        Topology((orders, ServiceDeclaration("orders")))
    with pytest.raises(ValueError, match=r"the topic 'shop\.orders' is declared twice"):
        Topology((orders, ServiceDeclaration("bills", topic="shop.orders")))
    with pytest.raises(ValueError, match="bills subscribes to 'parcels', which publishes nothing"):
        Topology((orders, ServiceDeclaration("bills", subscribes_to=("parcels",))))


def test_awaited_service_receives_the_events_and_is_listened_to():
    orders = ServiceDeclaration("orders", topic="orders", subscribes_to=("points",), awaits=("points",))
    points = ServiceDeclaration("points", topic="points", subscribes_to=("orders",))

    assert Topology((orders, points)).service("orders").awaits == ("points",)
    with pytest.raises(ValueError, match="orders awaits 'points', which does not subscribe to it"):
        Topology((orders, replace(points, subscribes_to=())))
    with pytest.raises(ValueError, match="orders awaits 'points', and does not subscribe to its answers"):
        Topology((replace(orders, subscribes_to=()), points))
    with pytest.raises(ValueError, match="orders awaits 'parcels'"):
        Topology((replace(orders, awaits=("parcels",)), points))


def test_subscription_has_what_its_service_ignores_of_its_publisher():
    ignored = Ignored("order.Placed", "status", frozenset({"open"}))

    specs = SHOP.subscription_specs({"statistics": {"orders": ignored, "requests": ignored}})

    assert {spec.name for spec in specs if spec.ignored} == {"statistics-service.shop.orders"}
