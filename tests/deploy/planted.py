"""Single faults to plant in rendered manifests: where, and what stands there instead."""

from dataclasses import dataclass
from typing import Any

from tests.support.manifests import Manifests

GONE = object()
"""Nothing stands there."""

POD = "spec.template.spec"
BOX = f"{POD}.containers.0"


@dataclass(frozen=True, slots=True)
class Fault:
    """One value that is wrong."""

    overlay: str
    kind: str
    name: str
    path: str
    value: Any

    def __str__(self) -> str:
        value = "gone" if self.value is GONE else self.value
        return f"{self.overlay}: {self.kind} {self.name} {self.path.removeprefix(POD + '.')}={value}"

    def plant(self, manifests: Manifests) -> None:
        """KeyError or IndexError where there is no such place (but for a last name, which may be new)."""
        *path, last = self.path.split(".")
        place: Any = manifests.find(self.kind, self.name)
        for step in path:
            place = place[int(step) if isinstance(place, list) else step]
        key: Any = int(last) if isinstance(place, list) else last.replace("/dot/", ".")
        if self.value is GONE:
            del place[key]
        else:
            assert not isinstance(place, dict) or place.get(key, GONE) != self.value
            place[key] = self.value


NAME = "app/dot/kubernetes/dot/io/name"
LEFT_OUT = {"matchExpressions": [{"key": "app.kubernetes.io/name", "operator": "In", "values": ["gateway"]}]}
ANONYMOUS = [{"podSelector": {}}]

FAULTS = (
    # Misspelt, or of the wrong type.
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
    # Its place would be taken by another whenever a service is away.
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
    Fault("gke", "NetworkPolicy", "stock", "spec.ingress.0.from", ANONYMOUS),
    Fault("gke", "NetworkPolicy", "stock", "spec.ingress.0.ports.0.port", 8080),
    Fault("gke", "NetworkPolicy", "gateway", "spec.egress", GONE),
    Fault("gke", "NetworkPolicy", "gateway", "spec.ingress.0.from", GONE),
    Fault("gke", "NetworkPolicy", "gateway", "spec.egress.0.to", ANONYMOUS),
    Fault("gke", "NetworkPolicy", "default-deny", "spec.policyTypes", ["Ingress"]),
    Fault("gke", "NetworkPolicy", "dns", "spec.egress.0.ports.0.protocol", "TCP"),
    Fault("gke", "NetworkPolicy", "google-apis", "spec.egress.0.to.0.ipBlock.cidr", "0.0.0.0/0"),
    Fault("gke", "NetworkPolicy", "google-apis", "spec.egress.2.ports.0.port", 80),
    Fault("gke", "NetworkPolicy", "google-apis", "spec.podSelector", LEFT_OUT),
    Fault("gke", "NetworkPolicy", "token-issuer", "spec.egress.0.to.0.ipBlock.except", GONE),
    Fault("gke", "NetworkPolicy", "token-issuer", "spec.egress.0.to.0.ipBlock.except.0", "10.0.0.0/16"),
    Fault("local", "NetworkPolicy", "firestore", "spec.ingress.0.from", ANONYMOUS),
    Fault("local", "NetworkPolicy", "stock-from-seed", "spec.podSelector", LEFT_OUT),
    # Metrics.
    Fault("gke", "PodMonitoring", "saga", "apiVersion", "monitoring.googleapis.com/v1beta9"),
    Fault("gke", "PodMonitoring", "saga", "spec.endpoints.0.port", "metric"),
    Fault("gke", "PodMonitoring", "saga", "spec.endpoints.0.port", "grpc"),
    Fault("gke", "PodMonitoring", "saga", "spec.endpoints.0.interval", "30"),
    Fault("gke", "PodMonitoring", "saga", "spec.endpoints.0.intervall", "30s"),
    Fault("gke", "PodMonitoring", "saga", "spec.selector", LEFT_OUT),
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
    Fault("gke", "NetworkPolicy", "metrics", "spec.ingress.0.from", ANONYMOUS),
    Fault("gke", "NetworkPolicy", "metrics", "spec.ingress.0.from", [{"namespaceSelector": {}}]),
    Fault("gke", "NetworkPolicy", "metrics", "spec.ingress.0.ports.0.port", 9090),
    Fault("gke", "NetworkPolicy", "metrics", "spec.podSelector", LEFT_OUT),
    # Coming and going.
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
)
