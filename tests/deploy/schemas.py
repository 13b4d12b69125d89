"""Schemas: every document is one that Kubernetes, or the operator whose resource it is, understands."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema
import kubernetes_validate

from tests.support.manifests import Document, Manifests

OLDEST, NEWEST = "1.30", "1.37"
"""Kubernetes versions: a preStop hook may sleep since 1.30; newer ones have no schemas yet."""


def _closed(*required: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def _one_of(*values: object) -> dict[str, Any]:
    return {"enum": list(values)}


_TEXT = {"type": "string", "minLength": 1}
_NUMBER = {"type": "integer", "minimum": 1}
_PORT = {"type": "integer", "minimum": 1, "maximum": 65535}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1}


_SERVICE = _closed("group", "kind", "name", group=_one_of(""), kind=_one_of("Service"), name=_TEXT)
_LISTENER = _closed(
    "name",
    "protocol",
    "port",
    name=_TEXT,
    protocol=_one_of("HTTP", "HTTPS"),
    port=_PORT,
    allowedRoutes=_closed(namespaces=_closed("from", **{"from": _one_of("Same", "All")})),
)
_ROUTE_RULE = _closed(
    backendRefs=_list(_closed("name", "port", name=_TEXT, port=_PORT)),
    filters=_list(
        _closed(
            "type",
            type=_one_of("RequestRedirect"),
            requestRedirect=_closed(scheme=_one_of("https"), statusCode=_one_of(301, 302)),
        )
    ),
)
_HTTP_CHECK = _closed(
    portSpecification=_one_of("USE_FIXED_PORT"), port=_PORT, requestPath={"type": "string", "pattern": "^/"}
)

_SELECTOR = _closed(
    "matchExpressions",
    matchExpressions=_list(
        _closed("key", "operator", "values", key=_TEXT, operator=_one_of("In"), values=_list(_TEXT))
    ),
)
_DURATION = {"type": "string", "pattern": "^[0-9]+[smhd]$"}
_RULE = {
    "type": "object",
    "properties": {
        "alert": _TEXT,
        "record": _TEXT,
        "expr": _TEXT,
        "for": _DURATION,
        "labels": {"type": "object"},
        "annotations": {"type": "object"},
    },
    "required": ["expr"],
    "oneOf": [{"required": ["alert"]}, {"required": ["record"]}],
    "additionalProperties": False,
}

# Only what is used here, from https://gateway-api.sigs.k8s.io/reference/spec/ and
# https://cloud.google.com/kubernetes-engine/docs/how-to/configure-gateway-resources and
# https://github.com/GoogleCloudPlatform/prometheus-engine/blob/main/doc/api.md
CUSTOM: dict[tuple[str, str], dict[str, Any]] = {
    ("gateway.networking.k8s.io/v1", "Gateway"): _closed(
        "gatewayClassName",
        "listeners",
        gatewayClassName=_one_of("gke-l7-global-external-managed"),
        addresses=_list(_closed("type", "value", type=_one_of("NamedAddress"), value=_TEXT)),
        listeners=_list(_LISTENER),
    ),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): _closed(
        "parentRefs",
        "rules",
        parentRefs=_list(_closed("name", name=_TEXT, sectionName=_TEXT)),
        hostnames=_list(_TEXT),
        rules=_list(_ROUTE_RULE),
    ),
    ("networking.gke.io/v1", "HealthCheckPolicy"): _closed(
        "default",
        "targetRef",
        targetRef=_SERVICE,
        default=_closed(
            "config",
            checkIntervalSec=_NUMBER,
            timeoutSec=_NUMBER,
            healthyThreshold=_NUMBER,
            unhealthyThreshold=_NUMBER,
            config=_closed("type", "httpHealthCheck", type=_one_of("HTTP"), httpHealthCheck=_HTTP_CHECK),
        ),
    ),
    ("networking.gke.io/v1", "GCPBackendPolicy"): _closed(
        "default",
        "targetRef",
        targetRef=_SERVICE,
        default=_closed(timeoutSec=_NUMBER, connectionDraining=_closed(drainingTimeoutSec=_NUMBER)),
    ),
    ("monitoring.googleapis.com/v1", "PodMonitoring"): _closed(
        "selector",
        "endpoints",
        selector=_SELECTOR,
        endpoints=_list(_closed("port", "interval", port=_TEXT, interval=_DURATION)),
        targetLabels=_closed(
            metadata=_list(_one_of("pod", "container", "node")),
            fromPod=_list(
                _closed("from", "to", **{"from": _TEXT, "to": {"type": "string", "pattern": "^[a-z_]+$"}})
            ),
        ),
    ),
    ("monitoring.googleapis.com/v1", "Rules"): _closed(
        "groups", groups=_list(_closed("name", "rules", name=_TEXT, interval=_DURATION, rules=_list(_RULE)))
    ),
}


def check(manifests: Manifests) -> Iterator[str]:
    for document in manifests.documents:
        custom = CUSTOM.get((document["apiVersion"], document["kind"]))
        problems = _by_kubernetes(json.dumps(document)) if custom is None else _by_own(document, custom)
        yield from (f"{document['kind']} {document['metadata'].get('name')}: {each}" for each in problems)


@cache
def _by_kubernetes(document: str) -> list[str]:
    """Slow: most documents are looked at again and again, unchanged."""
    problems = []
    for version in (OLDEST, NEWEST):
        try:
            kubernetes_validate.validate(json.loads(document), version, strict=True)
        except kubernetes_validate.ValidationError as error:
            problems.append(f"{version}: {error.message}")
        except kubernetes_validate.SchemaNotFoundError as error:
            # The command-line tool only warns.
            problems.append(str(error.message))
    return problems


def _by_own(document: Document, schema: dict[str, Any]) -> Iterator[str]:
    whole = _closed(
        "apiVersion", "kind", "metadata", "spec", apiVersion=_TEXT, kind=_TEXT, metadata={}, spec=schema
    )
    for error in jsonschema.Draft202012Validator(whole).iter_errors(document):
        yield error.message
