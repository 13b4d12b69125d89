"""What has to be removed from a Google Cloud project for nothing of the suite to be left in it."""

from collections.abc import Iterator

from deploy.gcp import access
from deploy.gcp.plan import NAME, Where
from deploy.gcp.steps import Argv, Step, gcloud
from sagactl.local.provision import subscription_specs, topics


def teardown(where: Where, *, with_data: bool) -> Iterator[Step]:
    """Everything that `setup` made but the APIs; the database only `with_data`, which cannot be undone.

    The custom role stays, granted to nobody: for weeks after its end none of its name could be made.
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
    yield from access.revoked(where.project, NAME)
    place = f"--location={where.region}"
    yield _removed("repository", ("artifacts", "repositories"), NAME, place)
    for spec in subscription_specs():
        yield _removed("subscription", ("pubsub", "subscriptions"), spec.name)
    for topic in topics():
        yield _removed("topic", ("pubsub", "topics"), topic)
    if with_data:
        yield from _database_removed()


def _database_removed() -> Iterator[Step]:
    databases = ("firestore", "databases")
    named = f"--database={NAME}"
    there = gcloud(*databases, "describe", named)
    unprotected = gcloud(*databases, "update", named, "--no-delete-protection")
    yield Step("database may be deleted", unprotected, looks=there, if_there=True)
    yield Step(f"no database {NAME}", gcloud(*databases, "delete", named), looks=there, if_there=True)


def _removed(what: str, group: Argv, name: str, *about: str) -> Step:
    return Step(
        f"no {what} {name}",
        gcloud(*group, "delete", name, *about),
        looks=gcloud(*group, "describe", name, *about),
        if_there=True,
    )
