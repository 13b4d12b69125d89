"""Removal of the suite's resources from a Google Cloud project."""

from collections.abc import Iterator

from contract.topology import TOPOLOGY
from deploy.gcp import access
from deploy.gcp.plan import NAME, Where
from deploy.gcp.steps import Argv, Step, gcloud


def teardown(where: Where, *, with_data: bool) -> Iterator[Step]:
    """Yield the removal of what `setup` created except the APIs; of the database only `with_data`.

    Deleting the database cannot be undone. The custom role remains, without grants, because the name of a
    deleted role cannot be reused for weeks.
    (https://cloud.google.com/iam/docs/creating-custom-roles#deleting-custom-role)
    """
    maps = ("certificate-manager", "maps")
    yield _removed("certificate map entry", (*maps, "entries"), NAME, f"--map={NAME}")
    yield _removed("certificate map", maps, NAME)
    yield _removed("certificate", ("certificate-manager", "certificates"), NAME)
    yield _removed("address", ("compute", "addresses"), NAME, "--global")
    zone = f"{NAME}-googleapis"
    for name, kind in (("*.googleapis.com.", "CNAME"), ("private.googleapis.com.", "A")):
        yield _removed("DNS record", ("dns", "record-sets"), name, f"--zone={zone}", f"--type={kind}")
    yield _removed("DNS zone", ("dns", "managed-zones"), zone)
    yield from access.revoked(where.project, where.ephemeral_project, NAME, where.database)
    place = f"--location={where.region}"
    yield _removed("repository", ("artifacts", "repositories"), NAME, place)
    for spec in TOPOLOGY.subscription_specs():
        yield _removed("subscription", ("pubsub", "subscriptions"), spec.name)
    for topic in TOPOLOGY.all_topics():
        yield _removed("topic", ("pubsub", "topics"), topic)
    if with_data:
        yield from _database_removed(where.database)


def _database_removed(database: str) -> Iterator[Step]:
    databases = ("firestore", "databases")
    named = f"--database={database}"
    there = gcloud(*databases, "describe", named)
    unprotected = gcloud(*databases, "update", named, "--no-delete-protection")
    yield Step("database may be deleted", unprotected, check=there, if_exists=True)
    yield Step(f"no database {database}", gcloud(*databases, "delete", named), check=there, if_exists=True)


def _removed(what: str, group: Argv, name: str, *about: str) -> Step:
    return Step(
        f"no {what} {name}",
        gcloud(*group, "delete", name, *about),
        check=gcloud(*group, "describe", name, *about),
        if_exists=True,
    )
