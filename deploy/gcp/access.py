"""IAM: the permissions that each Kubernetes ServiceAccount needs for its process, without keys."""

from collections.abc import Iterator
from typing import NamedTuple

from contract.topology import TOPOLOGY
from deploy.gcp.steps import NUMBER, Argv, Step, gcloud
from sagakit.bus import subscription_name

EPHEMERAL_ROLE = "sagaEphemeralSubscriptions"
EPHEMERAL_PERMISSIONS = tuple(
    f"pubsub.subscriptions.{verb}" for verb in ("consume", "create", "delete", "get", "update")
)
"""For the gateway, on the project of ephemeral subscriptions: IAM has no conditions on names in Pub/Sub.

(https://cloud.google.com/iam/docs/conditions-resource-attributes)
"""

PUBLISHER, SUBSCRIBER, VIEWER, EDITOR = (
    f"roles/pubsub.{role}" for role in ("publisher", "subscriber", "viewer", "editor")
)


class Binding(NamedTuple):
    """A binding on a project as a whole."""

    project: str
    title: str
    role: str
    member: str
    condition: str = "None"


def granted(project: str, ephemeral_project: str, namespace: str, database: str) -> Iterator[Step]:
    """Yield every binding."""
    yield _ephemeral_role(ephemeral_project)
    yield from _dead_letters()
    for service in TOPOLOGY.names:
        yield from _service(member(project, namespace, service), service)
    for binding in on_projects(project, ephemeral_project, namespace, database):
        yield Step(binding.title, _project_binding("add", binding))
    gateway = member(project, namespace, "gateway")
    for topic in TOPOLOGY.topics.values():
        # Attaching a subscription to a topic needs a permission on the topic, also from another project
        # (https://cloud.google.com/pubsub/docs/access-control#required_permissions).
        yield Step(f"gateway may subscribe to {topic}", _bind("topics", topic, gateway, SUBSCRIBER))


def on_projects(project: str, ephemeral_project: str, namespace: str, database: str) -> Iterator[Binding]:
    """Yield the bindings on a project as a whole."""
    # Each database has a title of its own: the binding of a restored one is added beside the earlier one's.
    named = f"projects/{project}/databases/{database}"
    only = f'expression=resource.name=="{named}",title={database}-database'
    for service in TOPOLOGY.names:
        who = member(project, namespace, service)
        yield Binding(project, f"{service} may use the database", "roles/datastore.user", who, only)
    who = member(project, namespace, "audit")
    yield Binding(project, "audit may read the database", "roles/datastore.viewer", who, only)
    role, who = f"projects/{ephemeral_project}/roles/{EPHEMERAL_ROLE}", member(project, namespace, "gateway")
    yield Binding(ephemeral_project, "gateway may use ephemeral subscriptions", role, who)
    who = member(project, namespace, "provision")
    yield Binding(project, "provision may provision", EDITOR, who)
    if ephemeral_project != project:
        yield Binding(ephemeral_project, "provision may delete ephemeral subscriptions", EDITOR, who)
    adapter = member(project, "custom-metrics", "custom-metrics-stackdriver-adapter")
    yield Binding(project, "autoscalers may read the backlog", "roles/monitoring.viewer", adapter)
    nodes = f"serviceAccount:{NUMBER}-compute@developer.gserviceaccount.com"
    yield Binding(project, "nodes may run workloads", "roles/container.defaultNodeServiceAccount", nodes)


def revoked(project: str, ephemeral_project: str, namespace: str, database: str) -> Iterator[Step]:
    """Yield the removal of the bindings on the projects; those on a topic end with it."""
    for binding in on_projects(project, ephemeral_project, namespace, database):
        if "nodes" not in binding.title:
            yield Step(f"revoke: {binding.title}", _project_binding("remove", binding))


def member(project: str, namespace: str, account: str) -> str:
    """Return the principal of a Kubernetes ServiceAccount in Workload Identity Federation for GKE.

    (https://cloud.google.com/kubernetes-engine/docs/concepts/workload-identity)
    """
    pool = f"projects/{NUMBER}/locations/global/workloadIdentityPools/{project}.svc.id.goog"
    return f"principal://iam.googleapis.com/{pool}/subject/ns/{namespace}/sa/{account}"


def _service(who: str, service: str) -> Iterator[Step]:
    """A service publishes to its own topic and to the dead letters, and pulls its own subscriptions."""
    for topic in filter(None, (TOPOLOGY.service(service).topic, TOPOLOGY.dead_letter_topic)):
        yield Step(f"{service} may publish to {topic}", _bind("topics", topic, who, PUBLISHER))
    for topic in TOPOLOGY.subscribed_topics(service):
        name = subscription_name(service, topic)
        yield Step(f"{service} may pull {name}", _bind("subscriptions", name, who, SUBSCRIBER))
        # For its readiness: whether the subscription still has its topic.
        yield Step(f"{service} may describe {name}", _bind("subscriptions", name, who, VIEWER))


def _dead_letters() -> Iterator[Step]:
    """Pub/Sub itself moves messages there, as its service agent.

    (https://cloud.google.com/pubsub/docs/handling-failures#grant_forwarding_permissions)
    """
    yield Step(
        "Pub/Sub's agent", gcloud("beta", "services", "identity", "create", "--service=pubsub.googleapis.com")
    )
    agent = f"serviceAccount:service-{NUMBER}@gcp-sa-pubsub.iam.gserviceaccount.com"
    topic = TOPOLOGY.dead_letter_topic
    yield Step(f"Pub/Sub may publish to {topic}", _bind("topics", topic, agent, PUBLISHER))
    for spec in TOPOLOGY.subscription_specs():
        if spec.dead_letter_topic is not None:
            yield Step(f"Pub/Sub may pull {spec.name}", _bind("subscriptions", spec.name, agent, SUBSCRIBER))


def _ephemeral_role(project: str) -> Step:
    role = (EPHEMERAL_ROLE, f"--project={project}")
    rights = f"--permissions={','.join(EPHEMERAL_PERMISSIONS)}"
    return Step(
        f"role {EPHEMERAL_ROLE}",
        gcloud("iam", "roles", "create", *role, rights, "--title=Ephemeral subscriptions of gateways"),
        check=gcloud("iam", "roles", "describe", *role),
        update=gcloud("iam", "roles", "update", *role, rights),
    )


def _bind(kind: str, name: str, who: str, role: str) -> Argv:
    return gcloud("pubsub", kind, "add-iam-policy-binding", name, f"--member={who}", f"--role={role}")


def _project_binding(verb: str, binding: Binding) -> Argv:
    about = (f"--member={binding.member}", f"--role={binding.role}", f"--condition={binding.condition}")
    return gcloud("projects", f"{verb}-iam-policy-binding", binding.project, *about)
