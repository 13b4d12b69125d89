"""The setup of a Google Cloud project matches the code, and gcloud accepts its commands."""

import json
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from contract.topology import TOPOLOGY
from deploy.gcp import preflight
from deploy.gcp.access import member
from deploy.gcp.plan import EXPIRING, Where, setup
from deploy.gcp.steps import Step, quoted
from deploy.gcp.teardown import teardown
from sagakit.backends.gcp.provision import PubsubProvisioner
from sagakit.ctl.load import provisioned
from sagakit.inbox import inbox_kind
from sagakit.tables import EXPIRES_AT
from services.purchase.storage import CART
from tests.support.manifests import ROOT
from tests.support.suite import running_suite

WHERE = Where("my-proj", "europe-west4", domain="shop.example.com")


@pytest.mark.parametrize("spec", provisioned(TOPOLOGY), ids=lambda spec: spec.name)
def test_subscription_has_the_settings_of_sagactl_provision(spec):
    (step,) = (step for step in setup(WHERE) if step.title == f"subscription {spec.name}")
    flags = dict(word.removeprefix("--").split("=", 1) for word in step.run if "=" in word)

    existing = PubsubProvisioner(None, None, "my-proj", ())._subscription(spec)  # type: ignore[arg-type]

    assert existing.topic == f"projects/my-proj/topics/{flags['topic']}"
    assert existing.ack_deadline_seconds == int(flags["ack-deadline"])
    kept = existing.message_retention_duration.total_seconds()
    assert f"{kept:.0f}s" == flags["message-retention-duration"]
    assert f"{existing.retry_policy.minimum_backoff.total_seconds():g}s" == flags["min-retry-delay"]
    assert f"{existing.retry_policy.maximum_backoff.total_seconds():g}s" == flags["max-retry-delay"]
    assert flags["expiration-period"] == "never"
    dead = existing.dead_letter_policy
    assert dead.dead_letter_topic.rpartition("/")[2] == flags.get("dead-letter-topic", "")
    assert dead.max_delivery_attempts == int(flags.get("max-delivery-attempts", 0))
    assert existing.filter == flags.get("message-filter", "")
    assert step.update is not None
    assert not any(word.startswith("--message-filter") for word in step.update), "it cannot be changed"


def granted_to(account: str, where: Where = WHERE) -> set[tuple[str, str]]:
    """Resources and roles of a ServiceAccount."""
    granted = set()
    for step in setup(where):
        flags = dict(word.removeprefix("--").split("=", 1) for word in step.run if word.startswith("--m"))
        role = next((word for word in step.run if word.startswith("--role=")), "")
        if "add-iam-policy-binding" in step.run and flags.get("member", "").endswith(f"/sa/{account}"):
            resource = step.run[step.run.index("add-iam-policy-binding") + 1]
            granted.add((resource, role.removeprefix("--role=").removeprefix("roles/")))
    return granted


def test_service_has_exactly_the_needed_permissions():
    assert granted_to("stock") == {
        ("com.example.stock", "pubsub.publisher"),
        ("com.example.dead-letter", "pubsub.publisher"),
        ("stock-service.com.example.purchase", "pubsub.subscriber"),
        ("stock-service.com.example.purchase", "pubsub.viewer"),
        ("my-proj", "datastore.user"),
    }


def test_gateway_has_no_permission_on_a_subscription_of_a_service():
    """It faces the internet. In the project of the services it may only attach subscriptions to topics."""
    ephemeral_role = "projects/my-proj-ephemeral/roles/sagaEphemeralSubscriptions"

    assert granted_to("gateway") == {
        ("my-proj-ephemeral", ephemeral_role),
        *((topic, "pubsub.subscriber") for topic in TOPOLOGY.topics.values()),
    }
    (role,) = (step for step in setup(WHERE) if step.title == "role sagaEphemeralSubscriptions")
    assert all("--project=my-proj-ephemeral" in argv for argv in role.commands())


def test_provision_may_delete_the_subscriptions_of_gateways_that_ended():
    assert granted_to("provision") == {("my-proj", "pubsub.editor"), ("my-proj-ephemeral", "pubsub.editor")}


def test_audit_may_only_read_the_database():
    assert granted_to("audit") == {("my-proj", "datastore.viewer")}


def test_one_project_for_everything_is_possible_if_it_is_named():
    together = Where("my-proj", "europe-west4", ephemeral="my-proj")

    assert ("my-proj", "projects/my-proj/roles/sagaEphemeralSubscriptions") in granted_to("gateway", together)
    assert granted_to("provision", together) == {("my-proj", "pubsub.editor")}


RESTORED = Where("my-proj", "europe-west4", database="saga-restored")


@pytest.mark.parametrize("where", [WHERE, RESTORED], ids=lambda where: where.database)
def test_services_may_use_exactly_their_database_and_its_rows_expire(where: Where):
    assert faults_of_database([*setup(where)], where.database) == []


PLANTED = {
    "may use the database": ("databases/saga-restored", "databases/saga"),
    "audit may read the database": ("databases/saga-restored", "databases/saga"),
    "database saga-restored": ("--database=saga-restored", "--database=saga"),
    "TTL of Cart": ("--database=saga-restored", "--database=saga"),
}


@pytest.mark.parametrize("title", PLANTED)
def test_setup_that_names_another_database_is_found(title: str):
    there, planted = PLANTED[title]
    steps = [
        replace(step, run=tuple(word.replace(there, planted) for word in step.run))
        if title in step.title
        else step
        for step in setup(RESTORED)
    ]

    assert faults_of_database(steps, RESTORED.database)


def faults_of_database(steps: list[Step], database: str) -> list[str]:
    """Return what stands in the way of services that use `database`, or lets them use another one."""
    named = f'expression=resource.name=="projects/my-proj/databases/{database}"'
    only = f"--condition={named},title={database}-database"
    roles = [step.run for step in steps if any("roles/datastore." in word for word in step.run)]
    firestore = [step.run for step in steps if step.run[:2] == ("gcloud", "firestore")]
    expiring = {word for argv in firestore for word in argv if word.startswith("--collection-group=")}
    return [
        *(f"condition: {argv}" for argv in roles if only not in argv),
        *(f"another database: {argv}" for argv in firestore if f"--database={database}" not in argv),
        *(
            []
            if len(roles) == len(TOPOLOGY.names) + 1
            else ["a service may not use it, or the audit read it"]
        ),
        *(
            f"rows of {kind} never expire"
            for kind in EXPIRING
            if f"--collection-group={kind}" not in expiring
        ),
    ]


def test_roles_are_granted_to_service_accounts_of_the_manifests():
    accounts = {*TOPOLOGY.names, "gateway", "provision", "audit"}
    members = {word for step in setup(WHERE) for word in step.run if word.startswith("--member=principal:")}

    known = {f"--member={member('my-proj', 'saga', account)}" for account in accounts}
    adapter = member("my-proj", "custom-metrics", "custom-metrics-stackdriver-adapter")
    assert members == {*known, f"--member={adapter}"}


async def test_every_expiring_kind_has_a_ttl_policy(tmp_path: Path):
    environ = {"BACKEND": "embedded", "EMBEDDED_FILE": str(tmp_path / "data.sqlite3")}
    async with running_suite(environ) as suite:
        order = await suite.order("c1", blue=1)
        await suite.ticket_becomes(order.orderid, "approved")
        await suite.balances()

    with closing(sqlite3.connect(environ["EMBEDDED_FILE"])) as database:
        rows = database.execute("SELECT DISTINCT kind FROM entity WHERE expires_at IS NOT NULL").fetchall()
    assert EXPIRES_AT == "expires_at"
    expiring = {kind for (kind,) in rows}
    assert expiring >= {inbox_kind("stock"), inbox_kind("purchase")}
    assert expiring | {CART} <= set(EXPIRING)


@pytest.mark.emulators
@pytest.mark.timeout(300)
def test_gcloud_accepts_every_command(tmp_path: Path):
    gcloud = shutil.which("gcloud")
    if gcloud is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("no gcloud on the PATH")
    commands = [*{_shape(argv): argv for argv in every_command()}.values()]
    unknown = ("gcloud", "pubsub", "topics", "create", "x", "--no-such-flag=1")
    asked = tmp_path / "commands.json"
    asked.write_text(json.dumps([{"command_string": quoted(argv)} for argv in (*commands, unknown)]))

    argv = [gcloud, "meta", "lint-gcloud-commands", f"--commands-file={asked}"]
    answers = json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)

    assert len(answers) == len(commands) + 1
    rejected = [answer["command_string"] for answer in answers if not answer["success"]]
    assert rejected == [quoted(unknown)]


def every_command():
    for step in (*setup(WHERE), *teardown(WHERE, with_data=True)):
        yield from step.commands()
    yield from (argv for argv in preflight.commands(WHERE) if argv[0] == "gcloud")
    for line in re.findall(r"^gcloud firestore .*$", (ROOT / "docs/restore.md").read_text(), re.MULTILINE):
        yield tuple(shlex.split(line.replace("$MOMENT", "2026-11-26T10:00:00.00Z").replace("$", "")))


def _shape(argv):
    """Return the command without its values: those that differ only in values need one check."""
    return tuple(word.partition("=")[0] for word in argv if "example" not in word)
