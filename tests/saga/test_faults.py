"""`sagactl faults` on every backend: services notice what it sets, and everything ends once it is cleared."""

from collections.abc import Mapping

from structlog.testing import capture_logs

from tests.saga.test_restore import sagactl
from tests.support.eventually import eventually
from tests.support.suite import running_suite

OFF = "provider unavailable: no\nprovider delay: 0 s\nprovider drops responses: no\npaused: none\n"
PAUSED = {"event": "pulling paused", "subscription": "delivery-service.com.example.purchase"}


async def faults(environ: Mapping[str, str], *argv: str) -> str:
    code, output = await sagactl(environ, "faults", *argv)
    assert code == 0
    return output


async def test_faults_take_effect_until_they_are_cleared(backend_environ: Mapping[str, str]):
    async def letters() -> int:
        return (await sagactl(backend_environ, "dlq", "list"))[1].count("com.example.delivery")

    with capture_logs() as logs:
        async with running_suite(backend_environ) as suite:
            assert await faults(backend_environ, "list") == OFF
            await faults(backend_environ, "set", "--pause", "delivery", "--pause", "stock")
            changed = await faults(backend_environ, "set", "--resume", "stock", "--provider-unavailable")
            published = await faults(backend_environ, "set", "--dead-letters", "2")
            await eventually(lambda: any(PAUSED.items() <= line.items() for line in logs), seconds=20)
            free, paid = [(await suite.order(cart, **{cart: 1})).orderid for cart in ("red", "blue")]
            await suite.ticket_becomes(free, "approved")
            await suite.ticket_becomes(paid, "reserved")
            await eventually(letters)

            cleared = await faults(backend_environ, "clear")
            await suite.balances(60)

            assert changed == OFF.replace("unavailable: no", "unavailable: yes").replace("none", "delivery")
            assert published.startswith("events published that no service can process: 2\n")
            assert cleared == f"dead letters dropped: 2\n{OFF}"
            assert (await suite.ticket(paid)).status == "approved"
            assert await letters() == 0
