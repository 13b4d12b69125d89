"""For every alarm: series that make it fire, with the expected labels, and series that do not."""

from collections.abc import Mapping
from dataclasses import dataclass

from contract.topology import TOPOLOGY


@dataclass(frozen=True, slots=True)
class Case:
    """Series in promtool's notation, and the expected state of one alarm at one time."""

    alert: str
    when: str
    series: Mapping[str, str]
    at: str
    labels: Mapping[str, str] | None = None
    """The alarm's labels without its severity; None: the alarm does not fire."""
    interval: str = "1m"

    def __str__(self) -> str:
        return f"{self.alert}: {self.when}"


def ended(in_time: str, late: str) -> dict[str, str]:
    return {
        'saga_orders_ended_total{service="purchase",in_time="yes"}': in_time,
        'saga_orders_ended_total{service="purchase",in_time="no"}': late,
    }


def handled(applied: str, failed: str, outcome: str = "failed") -> dict[str, str]:
    name = 'saga_event_duration_seconds_count{service="stock",subscription="stock-service.t",'
    return {f'{name}outcome="applied"}}': applied, f'{name}outcome="{outcome}"}}': failed}


def requested(good: str, bad: str, route: str = "/v1/carts/{cartid}", status: str = "503") -> dict[str, str]:
    name = 'http_server_request_duration_seconds_count{service="gateway",'
    return {
        f'{name}http_route="/v1/orders/{{orderid}}",http_response_status_code="200"}}': good,
        f'{name}http_route="{route}",http_response_status_code="{status}"}}': bad,
    }


def up(**services: str) -> dict[str, str]:
    return {f'up{{service="{service}",instance="i"}}': values for service, values in services.items()}


OVERDUE = 'saga_reminders_overdue_oldest_age_seconds{service="stock",kind="Reservation",status="reserved"}'
OUTBOX = 'saga_outbox_oldest_age_seconds{service="stock",instance="a"}'
DEAD = 'saga_dead_letters_total{service="purchase",reason="unknown-order"}'
ROWS = 'saga_rows_failed_total{service="stock",kind="Reservation",instance="a"}'
SERVING = 'saga_serving{service="stock",instance="a"}'
SUBSCRIPTION_ACTIVE = (
    'saga_subscription_active{{service="stock",subscription="stock-service.t",instance="{0}"}}'
)
CONSUMER_SATURATED = 'saga_consumer_saturated{{service="stock",instance="{0}"}}'
SUBSCRIPTION = {"service": "stock", "subscription": "stock-service.t"}
EVERY_SERVICE = dict.fromkeys((*TOPOLOGY.names, "gateway"), "1x20")

PROBLEMS, COMPLETE = 'saga_audit_problems{service="audit"}', 'saga_audit_complete{service="audit"}'
"""Of a run that serves its result for two minutes."""
SCHEDULED_UP = 'up{service="purchase",instance="i",namespace="saga"}'
SCHEDULED = {SCHEDULED_UP: "1x300"}
"""A cluster with Managed Prometheus."""

CASES = (
    Case("LateOrdersFastBurn", "two in a hundred are late", ended("0+98x120", "0+2x120"), "1h", {}),
    Case("LateOrdersFastBurn", "one in a hundred is late", ended("0+99x120", "0+1x120"), "1h"),
    Case("LateOrdersFastBurn", "the errors have stopped", ended("0+98x120", "0+2x60 120x60"), "70m"),
    Case("LateOrdersFastBurn", "the errors have only started", ended("0+98x120", "0x55 0+4x60"), "1h"),
    Case("LateOrdersFastBurn", "there are no orders", ended("0x120", "0x120"), "1h"),
    Case("LateOrdersMediumBurn", "seven in a thousand are late", ended("0+993x400", "0+7x400"), "6h", {}),
    Case("LateOrdersMediumBurn", "five in a thousand are late", ended("0+995x400", "0+5x400"), "6h"),
    Case(
        "LateOrdersSlowBurn",
        "two in a thousand are late",
        ended("0+998x900", "0+2x900"),
        "3d",
        {},
        interval="5m",
    ),
    Case(
        "LateOrdersSlowBurn",
        "one in two thousand is late",
        ended("0+1999x900", "0+1x900"),
        "3d",
        interval="5m",
    ),
    Case(
        "OrdersNotFinishing",
        "a reservation waits",
        {OVERDUE: "0+60x20"},
        "10m",
        {"service": "stock", "kind": "Reservation", "status": "reserved"},
    ),
    Case("OrdersNotFinishing", "it waits for less than five minutes", {OVERDUE: "299x20"}, "10m"),
    Case("OrdersNotFinishing", "it received its reply late", {OVERDUE: "0+60x6 stale"}, "8m"),
    Case(
        "OutboxNotPublished",
        "an event waits to be published",
        {OUTBOX: "0+60x20"},
        "5m",
        {"service": "stock"},
    ),
    Case(
        "OutboxNotPublished", "it never waits for a full minute", {OUTBOX: "0 59 0 59 0 59 0 59 59 59"}, "8m"
    ),
    Case(
        "DeadLetters",
        "the first one arrives",
        {DEAD: "0x9 1x20"},
        "12m",
        {"service": "purchase", "reason": "unknown-order"},
    ),
    Case("DeadLetters", "the last one is long ago", {DEAD: "0x9 1x60"}, "40m"),
    Case("DeadLetters", "the counter stays at zero", {DEAD: "0x60"}, "40m"),
    Case(
        "RowsFailing",
        "a row fails again every twenty minutes",
        {ROWS: "0x9 1x19 2x19 3x19"},
        "55m",
        {"service": "stock", "kind": "Reservation"},
    ),
    Case("RowsFailing", "the row was repaired long ago", {ROWS: "0x9 1x60"}, "50m"),
    Case("RowsFailing", "the counter stays at zero", {ROWS: "0x60"}, "40m"),
    Case("EventsFailing", "one in ten fails", handled("0+90x40", "0+10x40"), "20m", SUBSCRIPTION),
    Case(
        "EventsFailing", "one in ten is nacked", handled("0+90x40", "0+10x40", "nacked"), "20m", SUBSCRIPTION
    ),
    Case("EventsFailing", "one in a hundred fails", handled("0+99x40", "0+1x40"), "20m"),
    Case("EventsFailing", "a backend is unavailable", handled("0+90x40", "0+10x40", "paused"), "20m"),
    Case(
        "ServiceDown", "payment has never been scraped", up(**{**EVERY_SERVICE, "payment": "_x20"}), "10m", {}
    ),
    Case("ServiceDown", "payment does not answer", up(**{**EVERY_SERVICE, "payment": "0x20"}), "10m", {}),
    Case("ServiceDown", "no target exists", {}, "10m", {}),
    Case("ServiceDown", "all services run", up(**EVERY_SERVICE), "10m"),
    Case("ServiceDown", "payment restarts", up(**{**EVERY_SERVICE, "payment": "1 1 0 1x20"}), "3m"),
    Case(
        "ProcessDown",
        "one does not answer",
        up(stock="1x5 0x20"),
        "15m",
        {"service": "stock", "instance": "i"},
    ),
    Case("ProcessDown", "it restarts", up(stock="1x5 0 0 1x20"), "15m"),
    Case("ProcessDown", "it is another application's", up(nginx="0x20"), "15m"),
    Case("NotServing", "it hangs", {SERVING: "1x5 0x20"}, "9m", {"service": "stock", "instance": "a"}),
    Case("NotServing", "it starts", {SERVING: "0 1x20"}, "9m"),
    Case(
        "SubscriptionNotPulled",
        "no process pulls",
        {SUBSCRIPTION_ACTIVE.format("a"): "0x20", SUBSCRIPTION_ACTIVE.format("b"): "1x5 0x20"},
        "10m",
        SUBSCRIPTION,
    ),
    Case(
        "SubscriptionNotPulled",
        "another process pulls",
        {SUBSCRIPTION_ACTIVE.format("a"): "0x20", SUBSCRIPTION_ACTIVE.format("b"): "1x20"},
        "10m",
    ),
    Case(
        "ConsumerSaturated",
        "all processes are at the limit",
        {CONSUMER_SATURATED.format("a"): "1x30", CONSUMER_SATURATED.format("b"): "1x30"},
        "20m",
        {"service": "stock"},
    ),
    Case(
        "ConsumerSaturated",
        "one process has capacity",
        {CONSUMER_SATURATED.format("a"): "1x30", CONSUMER_SATURATED.format("b"): "0x30"},
        "20m",
    ),
    Case("RequestsFailing", "one in ten fails", requested("0+90x20", "0+10x20"), "10m", {}),
    Case("RequestsFailing", "one in a hundred fails", requested("0+99x20", "0+1x20"), "10m"),
    Case(
        "RequestsFailing",
        "gateways report that they are not ready",
        requested("0+90x20", "0+90x20", "/readyz"),
        "10m",
    ),
    Case(
        "RequestsFailing", "clients request unknown paths", requested("0+90x20", "0+90x20", "", "404"), "10m"
    ),
    Case("AuditUnbalanced", "a run found two", {PROBLEMS: "2 2 stale"}, "90m", {"service": "audit"}),
    Case("AuditUnbalanced", "runs find nothing", {PROBLEMS: "0 0 stale _x57 0 0 stale"}, "90m"),
    Case("AuditUnbalanced", "it was found long ago", {PROBLEMS: "2 2 stale _x57 0 0 stale"}, "150m"),
    Case("AuditIncomplete", "a run stopped early", {COMPLETE: "0 0 stale"}, "30m", {"service": "audit"}),
    Case("AuditIncomplete", "runs end", {COMPLETE: "1 1 stale _x57 1 1 stale"}, "90m"),
    Case("AuditNotRunning", "no run ever had a result", SCHEDULED, "3h", {}),
    Case("AuditNotRunning", "the last result is old", {**SCHEDULED, COMPLETE: "1 1 stale"}, "5h", {}),
    Case(
        "AuditNotRunning",
        "each hour has a result",
        {**SCHEDULED, COMPLETE: "1 1 stale" + " _x57 1 1 stale" * 4},
        "5h",
    ),
    Case("AuditNotRunning", "the first run of a new cluster is not due yet", SCHEDULED, "90m"),
    Case("AuditNotRunning", "there is no schedule", up(purchase="1x300"), "5h"),
    Case("AuditNotRunning", "the suite was removed", {SCHEDULED_UP: "1x60 stale"}, "5h"),
)
