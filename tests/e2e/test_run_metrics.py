"""What the processes of a suite that runs expose is what is declared."""

from tests.support.local_suite import suite, until
from tests.support.metrics import DECLARED, Samples, declared_series, scraped, series_of

IMPATIENT = {"SWEEP_SECONDS": "0.2", "REMINDER_INTERVAL_SECONDS": "0.3"}
ASKS_PAYMENT = "payment-service.com.example.stock"
PROCESS_OWN = ("process_", "target_info")


def order(local, cartid: str, itemid: str) -> str:
    """The orderid of a cart with one of these, checked out."""
    for method, body in (
        ("create_cart", {}),
        ("add_item", {"itemid": itemid, "count": 1}),
        ("close_cart", {}),
    ):
        local.call(method, cartid=cartid, **body)
    return local.call("checkout", cartid=cartid)["order_ticket"]["orderid"]


def everything(local) -> Samples:
    return scraped(address for listening in local.facts["metrics"].values() for address in listening)


def test_whatever_is_declared_is_exposed_and_nothing_else(tmp_path):
    with suite(tmp_path, "--backend", "embedded", environ=IMPATIENT) as local:
        local.until_ready()
        for itemid, status in (("blue", "approved"), ("red", "approved"), ("yellow", "reserve-failed")):
            order(local, f"cart-{itemid}", itemid)
            until(
                lambda outcome=status: everything(local).value(
                    "saga_order_duration_seconds_count", outcome=outcome
                )
            )
        local.sagactl("provider", "--away")
        order(local, "cart-waits", "blue")
        until(
            lambda: everything(local).value("saga_reminders_overdue", kind="Reservation", status="reserved")
        )
        until(lambda: everything(local).value("saga_subscription_active", subscription=ASKS_PAYMENT) == 0)

        samples = everything(local)

        ours = {series for series in samples.series() if not series.name.startswith(PROCESS_OWN)}
        assert ours == declared_series()
        assert samples.value("saga_serving") == 4
        assert samples.value("saga_order_duration_seconds_count") == 3
        reason = {"outcome": "reserve-failed", "reason": "sold-out"}
        assert samples.value("saga_order_duration_seconds_count", **reason) == 1
        assert samples.value("saga_orders_opened_total") == 4
        checkout = {"http_route": "/purchase/api/checkout", "http_response_status_code": "200"}
        assert samples.value("http_server_request_duration_seconds_count", **checkout) == 4


def test_each_process_says_of_itself_what_it_is_and_has_what_its_kind_declares(tmp_path):
    with suite(tmp_path, "--backend", "embedded", "--replicas", "2") as local:
        local.until_ready()
        metrics = local.facts["metrics"]

        assert {service: len(addresses) for service, addresses in metrics.items()} == {
            **dict.fromkeys(("purchase", "stock", "payment", "delivery"), 2),
            "gateway": 1,
        }
        for service, addresses in metrics.items():
            for address in addresses:
                samples = scraped([address])
                assert samples.value("target_info", service_name=service) == 1
                others = {name for name in DECLARED if name not in ("every service", service)}
                foreign = {series for name in others for each in DECLARED[name] for series in series_of(each)}
                assert not samples.series() & foreign
