"""The metrics that the processes of a running suite expose are exactly the declared ones."""

from contract.topology import TOPOLOGY
from tests.support.declared_metrics import DECLARED, declared_series
from tests.support.eventually import wait_until
from tests.support.local_suite import ready_suite
from tests.support.metrics import Samples, scraped, series_of

QUICK = {"SWEEP_SECONDS": "0.2", "REMINDER_INTERVAL_SECONDS": "0.3"}
RESERVED_EVENTS = "payment-service.com.example.stock"
PROCESS_METRICS = ("process_", "target_info")


def all_samples(local) -> Samples:
    return scraped(address for listening in local.facts["metrics"].values() for address in listening)


def test_exactly_the_declared_metrics_are_exposed(tmp_path):
    with ready_suite(tmp_path, environ=QUICK) as local:
        for itemid, status in (("blue", "approved"), ("red", "approved"), ("yellow", "reserve-failed")):
            local.order(**{itemid: 1})
            wait_until(
                lambda outcome=status: all_samples(local).value(
                    "saga_order_duration_seconds_count", outcome=outcome
                )
            )
        local.sagactl("faults", "set", "--provider-unavailable")
        local.order(blue=1)
        wait_until(
            lambda: all_samples(local).value("saga_reminders_overdue", kind="Reservation", status="reserved")
        )
        wait_until(
            lambda: all_samples(local).value("saga_subscription_active", subscription=RESERVED_EVENTS) == 0
        )

        samples = all_samples(local)

        ours = {series for series in samples.series() if not series.name.startswith(PROCESS_METRICS)}
        assert ours == declared_series(without="audit"), "an audit runs only if it is scheduled"
        assert samples.value("saga_serving") == 4
        assert samples.value("saga_order_duration_seconds_count") == 3
        reason = {"outcome": "reserve-failed", "reason": "sold-out"}
        assert samples.value("saga_order_duration_seconds_count", **reason) == 1
        assert samples.value("saga_orders_opened_total") == 4
        checkout = {"http_route": "/purchase/api/checkout", "http_response_status_code": "200"}
        assert samples.value("http_server_request_duration_seconds_count", **checkout) == 4


def test_each_process_names_its_service_and_exposes_only_its_metrics(tmp_path):
    with ready_suite(tmp_path, "--replicas", "2") as local:
        metrics = local.facts["metrics"]

        assert {service: len(addresses) for service, addresses in metrics.items()} == {
            **dict.fromkeys(TOPOLOGY.names, 2),
            "gateway": 1,
        }
        for service, addresses in metrics.items():
            for address in addresses:
                samples = scraped([address])
                assert samples.value("target_info", service_name=service) == 1
                others = {name for name in DECLARED if name not in ("every service", service)}
                foreign = {series for name in others for each in DECLARED[name] for series in series_of(each)}
                assert not samples.series() & foreign
