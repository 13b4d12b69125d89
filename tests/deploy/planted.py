"""Single faults to plant in rendered manifests: a path and a wrong value."""

from dataclasses import dataclass
from typing import Any

from tests.support.manifests import Document, Manifests

GONE = object()
"""The field is removed."""

POD = "spec.template.spec"
BOX = f"{POD}.containers.0"


@dataclass(frozen=True, slots=True)
class Fault:
    """One wrong value. `name` may be a prefix, as the names of ConfigMaps end in a hash."""

    overlay: str
    kind: str
    name: str
    path: str
    value: Any

    def __str__(self) -> str:
        value = "removed" if self.value is GONE else self.value
        return f"{self.overlay}: {self.kind} {self.name} {self.path.removeprefix(POD + '.')}={value}"

    def _names(self, document: Document) -> bool:
        name = document["metadata"]["name"]
        return name == self.name or (self.kind == "ConfigMap" and name.startswith(f"{self.name}-"))

    def plant(self, manifests: Manifests) -> None:
        """Change the manifests. Raises KeyError or IndexError if the path to the last name is missing."""
        *path, last = self.path.split(".")
        (place,) = (each for each in manifests.of(self.kind) if self._names(each))
        for step in path:
            place = place[int(step) if isinstance(place, list) else step]
        key: Any = int(last) if isinstance(place, list) else last.replace("/dot/", ".")
        if self.value is GONE:
            del place[key]
        else:
            assert not isinstance(place, dict) or place.get(key, GONE) != self.value
            place[key] = self.value


NAME = "app/dot/kubernetes/dot/io/name"
ONLY_GATEWAY = {
    "matchExpressions": [{"key": "app.kubernetes.io/name", "operator": "In", "values": ["gateway"]}]
}
ALL_PODS = [{"podSelector": {}}]

BACKLOG = "spec.metrics.1.external.metric.selector.matchLabels.resource/dot/labels/dot/subscription_id"

FAULTS = (
    # Misspelled, or of the wrong type.
    Fault("gke", "Deployment", "stock", "apiVersion", "extensions/v1beta1"),
    Fault("gke", "Deployment", "stock", f"{BOX}.redinessProbe", {"grpc": {"port": 50051}}),
    Fault("gke", "Deployment", "stock", f"{BOX}.ports.0.containerPort", "50051"),
    Fault("gke", "HorizontalPodAutoscaler", "stock", "spec.minReplicas", "2"),
    Fault("gke", "Gateway", "public", "spec.listeners.0.prot", 443),
    Fault("gke", "HTTPRoute", "gateway", "apiVersion", "gateway.networking.k8s.io/v1alpha2"),
    Fault("gke", "HealthCheckPolicy", "gateway", "spec.default.config.httpHealthCheck.path", "/readyz"),
    # Selectors and names.
    Fault("gke", "Deployment", "stock", f"spec.template.metadata.labels.{NAME}", "stocks"),
    Fault("gke", "Deployment", "stock", f"spec.selector.matchLabels.{NAME}", "payment"),
    Fault("local", "Service", "payment", f"spec.selector.{NAME}", "paymnet"),
    Fault("local", "Service", "payment", "spec.selector", {"app.kubernetes.io/part-of": "saga"}),
    Fault("gke", "PodDisruptionBudget", "purchase", f"spec.selector.matchLabels.{NAME}", "stock"),
    Fault("gke", "HorizontalPodAutoscaler", "delivery", "spec.scaleTargetRef.name", "deliveries"),
    Fault("gke", "HorizontalPodAutoscaler", "delivery", "spec.scaleTargetRef.name", "stock"),
    Fault("gke", "NetworkPolicy", "stock", f"spec.podSelector.matchLabels.{NAME}", "stok"),
    Fault("gke", "Deployment", "payment", f"{POD}.serviceAccountName", "stock"),
    Fault("gke", "Deployment", "stock", f"{POD}.topologySpreadConstraints.0.labelSelector", {}),
    Fault("local", "Deployment", "pubsub", "metadata.namespace", "default"),
    Fault("gke", "Deployment", "delivery", "metadata.name", "stock"),
    # Ports.
    Fault("gke", "Service", "stock", "spec.ports.0.targetPort", "http"),
    Fault("gke", "Service", "stock", "spec.ports.0.port", 50052),
    Fault("local", "Service", "stock", "spec.clusterIP", GONE),
    Fault("gke", "Deployment", "stock", f"{BOX}.env.1.value", "50052"),
    Fault("gke", "Deployment", "stock", f"{BOX}.ports.0.containerPort", 50052),
    Fault("gke", "Deployment", "stock", f"{BOX}.livenessProbe.grpc.port", 8080),
    Fault("local", "Deployment", "gateway", f"{BOX}.readinessProbe.httpGet.port", "grpc"),
    Fault("gke", "HTTPRoute", "gateway", "spec.rules.0.backendRefs.0.port", 8080),
    Fault("gke", "HTTPRoute", "gateway", "spec.parentRefs.0.sectionName", "http"),
    Fault(
        "gke", "HealthCheckPolicy", "gateway", "spec.default.config.httpHealthCheck.requestPath", "/healthz"
    ),
    # Probes.
    Fault(
        "gke", "Deployment", "stock", f"{BOX}.readinessProbe.grpc.service", "com.example.service.stock.Stocks"
    ),
    Fault("gke", "Deployment", "stock", f"{BOX}.readinessProbe", GONE),
    Fault("gke", "Deployment", "stock", f"{BOX}.startupProbe", GONE),
    Fault("gke", "Deployment", "gateway", f"{BOX}.readinessProbe.httpGet.path", "/ready"),
    # It would be restarted whenever a service is unavailable.
    Fault("gke", "Deployment", "gateway", f"{BOX}.livenessProbe.httpGet.path", "/readyz"),
    Fault("local", "Deployment", "pubsub", f"{BOX}.readinessProbe.httpGet.path", "/"),
    # Environments.
    Fault("gke", "Deployment", "stock", f"{BOX}.envFrom.0", {"configMapRef": {"name": "backends"}}),
    Fault("gke", "Deployment", "stock", f"{BOX}.env.0.value", "127.0.0.1"),
    Fault("gke", "Deployment", "stock", f"{BOX}.env.0.name", "HOTS"),
    Fault("gke", "Deployment", "gateway", f"{BOX}.env.3.value", "5s"),
    Fault("gke", "Deployment", "stock", f"{BOX}.env.2.value", "jason"),
    Fault("local", "Job", "seed", f"{BOX}.args.1", "--for"),
    Fault("gke", "Job", "provision", f"{BOX}.args.0", "provison"),
    Fault("local", "Job", "seed", f"{BOX}.env.0.value", "dns:///stock:50052"),
    # Images.
    Fault("gke", "Deployment", "stock", f"{BOX}.image", "REGION-docker.pkg.dev/PROJECT_ID/saga/payment:dev"),
    Fault("gke", "Deployment", "stock", f"{BOX}.image", "REGION-docker.pkg.dev/PROJECT_ID/saga/stock:latest"),
    Fault("local", "Deployment", "stock", f"{BOX}.imagePullPolicy", "Always"),
    # The call graph.
    Fault("gke", "NetworkPolicy", "stock", "spec.ingress.0.from", ALL_PODS),
    Fault("gke", "NetworkPolicy", "stock", "spec.ingress.0.ports.0.port", 8080),
    Fault("gke", "NetworkPolicy", "gateway", "spec.egress", GONE),
    Fault("gke", "NetworkPolicy", "gateway", "spec.ingress.0.from", GONE),
    Fault("gke", "NetworkPolicy", "gateway", "spec.egress.0.to", ALL_PODS),
    Fault("gke", "NetworkPolicy", "default-deny", "spec.policyTypes", ["Ingress"]),
    Fault("gke", "NetworkPolicy", "dns", "spec.egress.0.ports.0.protocol", "TCP"),
    Fault("gke", "NetworkPolicy", "google-apis", "spec.egress.0.to.0.ipBlock.cidr", "0.0.0.0/0"),
    Fault("gke", "NetworkPolicy", "google-apis", "spec.egress.2.ports.0.port", 80),
    Fault("gke", "NetworkPolicy", "google-apis", "spec.podSelector", ONLY_GATEWAY),
    Fault("gke", "NetworkPolicy", "token-issuer", "spec.egress.0.to.0.ipBlock.except", GONE),
    Fault("gke", "NetworkPolicy", "token-issuer", "spec.egress.0.to.0.ipBlock.except.0", "10.0.0.0/16"),
    Fault("local", "NetworkPolicy", "firestore", "spec.ingress.0.from", ALL_PODS),
    Fault("local", "NetworkPolicy", "stock-from-seed", "spec.podSelector", ONLY_GATEWAY),
    # Metrics.
    Fault("gke", "PodMonitoring", "saga", "apiVersion", "monitoring.googleapis.com/v1beta9"),
    Fault("gke", "PodMonitoring", "saga", "spec.endpoints.0.port", "metric"),
    Fault("gke", "PodMonitoring", "saga", "spec.endpoints.0.port", "grpc"),
    Fault("gke", "PodMonitoring", "saga", "spec.endpoints.0.interval", "30"),
    Fault("gke", "PodMonitoring", "saga", "spec.endpoints.0.intervall", "30s"),
    Fault("gke", "PodMonitoring", "saga", "spec.selector", ONLY_GATEWAY),
    Fault("gke", "PodMonitoring", "saga", "spec.targetLabels.fromPod.0.to", "svc"),
    Fault("gke", "Rules", "saga", "apiVersion", "monitoring.googleapis.com/v2"),
    Fault("gke", "Rules", "saga", "spec.groups.1.rules.0.expression", "1 > 0"),
    Fault("gke", "Rules", "saga", "spec.groups.1.rules.0.expr", GONE),
    Fault("gke", "Rules", "saga", "spec.groups.1.rules.0.alert", GONE),
    Fault("gke", "Rules", "saga", "spec.groups.1.rules.0.for", "soon"),
    Fault("gke", "Deployment", "stock", f"{BOX}.env.3.value", "9465"),
    Fault("gke", "Deployment", "stock", f"{BOX}.env.3", GONE),
    Fault("gke", "Deployment", "stock", f"{BOX}.ports.1.name", "metric"),
    Fault("local", "Deployment", "gateway", f"{BOX}.env.4.value", "8080"),
    Fault("gke", "NetworkPolicy", "metrics", "spec.ingress.0.from", ALL_PODS),
    Fault("gke", "NetworkPolicy", "metrics", "spec.ingress.0.from", [{"namespaceSelector": {}}]),
    Fault("gke", "NetworkPolicy", "metrics", "spec.ingress.0.ports.0.port", 9090),
    Fault("gke", "NetworkPolicy", "metrics", "spec.podSelector", ONLY_GATEWAY),
    # Lifecycle.
    Fault("gke", "Deployment", "stock", "spec.strategy.rollingUpdate.maxUnavailable", 1),
    Fault("gke", "Deployment", "stock", f"{POD}.terminationGracePeriodSeconds", 45),
    Fault("gke", "Deployment", "stock", f"{BOX}.lifecycle", GONE),
    Fault("gke", "Deployment", "gateway", f"{BOX}.env.3.value", "60"),
    Fault("gke", "PodDisruptionBudget", "stock", "spec.maxUnavailable", 0),
    Fault("gke", "PodDisruptionBudget", "stock", "spec.maxUnavailable", 2),
    Fault("gke", "HorizontalPodAutoscaler", "stock", "spec.minReplicas", 1),
    Fault("gke", "HorizontalPodAutoscaler", "stock", "spec.maxReplicas", 1),
    Fault("gke", "Deployment", "stock", "spec.replicas", 2),
    Fault("local", "Deployment", "stock", "spec.replicas", 1),
    Fault("gke", "Job", "provision", "spec.ttlSecondsAfterFinished", GONE),
    # Security.
    Fault(
        "gke", "Namespace", "saga", "metadata.labels.pod-security/dot/kubernetes/dot/io/enforce", "baseline"
    ),
    Fault("gke", "Deployment", "stock", f"{POD}.securityContext.runAsNonRoot", False),
    Fault("gke", "Deployment", "stock", f"{POD}.securityContext.seccompProfile", GONE),
    Fault("gke", "Deployment", "stock", f"{BOX}.securityContext.readOnlyRootFilesystem", False),
    Fault("gke", "Deployment", "stock", f"{BOX}.securityContext.capabilities", {"add": ["NET_ADMIN"]}),
    Fault("gke", "Deployment", "stock", f"{BOX}.securityContext.runAsUser", 0),
    Fault("gke", "Deployment", "stock", f"{POD}.automountServiceAccountToken", GONE),
    Fault("gke", "Deployment", "stock", f"{POD}.hostNetwork", True),
    Fault("gke", "Deployment", "stock", f"{BOX}.resources.limits", GONE),
    Fault("gke", "Deployment", "stock", f"{POD}.volumes.0", {"name": "tmp", "hostPath": {"path": "/tmp"}}),
    # Values of ConfigMaps.
    *(
        Fault("gke", "ConfigMap", "delivery", f"data.{variable}", topics)
        for variable in ("EVENT_SUBSCRIBE_TOPICS", "EVENT_PUBLISH_TOPIC", "EVENT_DEAD_LETTER_TOPIC")
        for topics in ("com.example.stock", "com.example.purchase,com.example.stock", "")
    ),
    Fault("gke", "ConfigMap", "backend", "data.GOOGLE_CLOUD_PROJECT", "elsewhere:8080"),
    Fault("gke", "ConfigMap", "backend", "data.DATASTORE_DATABASE", "elsewhere:8080"),
    Fault("local", "ConfigMap", "backend", "data.PUBSUB_EMULATOR_HOST", "elsewhere:8080"),
    Fault("gke", "ConfigMap", "authentication", "data.AUTH_ISSUER", GONE),
    Fault("gke", "ConfigMap", "authentication", "data.AUTH_AUDIENCE", GONE),
    Fault("gke", "ConfigMap", "authentication", "data.ENVIRONMENT", GONE),
    # The backlog of another service's subscription.
    Fault("gke", "HorizontalPodAutoscaler", "stock", BACKLOG, "stock-service.com.example.payment"),
)
