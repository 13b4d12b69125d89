"""Schemas: every document is valid for Kubernetes, or for the operator whose resource it is."""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import kubernetes_validate

from tests.support.manifests import Manifests

OLDEST, NEWEST = "1.30", "1.37"
"""Kubernetes versions: the `sleep` action of preStop exists since 1.30; newer ones have no schemas yet."""

# A schema is a type, a regular expression for the whole text, a set of values, a list of one schema for every
# element (of at least one), a tuple of alternatives, or a dict of all fields, whose optional ones end in "?".
Schema = Any
TEXT, PORT, DURATION = r"(?s).+", range(1, 65536), "[0-9]+[smhd]"
SERVICE = {"group": {""}, "kind": {"Service"}, "name": TEXT}
RULE = {"expr": TEXT, "for?": DURATION, "labels?": dict, "annotations?": dict}

# Only the fields used here, from https://gateway-api.sigs.k8s.io/reference/spec/ and
# https://cloud.google.com/kubernetes-engine/docs/how-to/configure-gateway-resources and
# https://github.com/GoogleCloudPlatform/prometheus-engine/blob/main/doc/api.md
CUSTOM: dict[tuple[str, str], Schema] = {
    ("gateway.networking.k8s.io/v1", "Gateway"): {
        "gatewayClassName": {"gke-l7-global-external-managed"},
        "addresses?": [{"type": {"NamedAddress"}, "value": TEXT}],
        "listeners": [
            {
                "name": TEXT,
                "protocol": {"HTTP", "HTTPS"},
                "port": PORT,
                "allowedRoutes?": {"namespaces": {"from": {"Same", "All"}}},
            }
        ],
    },
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): {
        "parentRefs": [{"name": TEXT, "sectionName?": TEXT}],
        "hostnames?": [TEXT],
        "rules": [
            {
                "backendRefs?": [{"name": TEXT, "port": PORT}],
                "filters?": [
                    {
                        "type": {"RequestRedirect"},
                        "requestRedirect?": {"scheme": {"https"}, "statusCode": {301, 302}},
                    }
                ],
            }
        ],
    },
    ("networking.gke.io/v1", "HealthCheckPolicy"): {
        "targetRef": SERVICE,
        "default": {
            "checkIntervalSec?": PORT,
            "timeoutSec?": PORT,
            "healthyThreshold?": PORT,
            "unhealthyThreshold?": PORT,
            "config": {
                "type": {"HTTP"},
                "httpHealthCheck": {
                    "portSpecification": {"USE_FIXED_PORT"},
                    "port": PORT,
                    "requestPath": "/.*",
                },
            },
        },
    },
    ("networking.gke.io/v1", "GCPBackendPolicy"): {
        "targetRef": SERVICE,
        "default": {"timeoutSec?": PORT, "connectionDraining?": {"drainingTimeoutSec": PORT}},
    },
    ("monitoring.googleapis.com/v1", "PodMonitoring"): {
        "selector": {"matchExpressions": [{"key": TEXT, "operator": {"In"}, "values": [TEXT]}]},
        "endpoints": [{"port": TEXT, "interval": DURATION}],
        "targetLabels?": {
            "metadata?": [{"pod", "container", "node"}],
            "fromPod?": [{"from": TEXT, "to": "[a-z_]+"}],
        },
    },
    ("monitoring.googleapis.com/v1", "Rules"): {
        "groups": [
            {
                "name": TEXT,
                "interval?": DURATION,
                "rules": [({"alert": TEXT, **RULE}, {"record": TEXT, **RULE})],
            }
        ]
    },
}


def check(manifests: Manifests) -> Iterator[str]:
    for document in manifests.documents:
        custom = CUSTOM.get((document["apiVersion"], document["kind"]))
        if custom is None:
            problems = _by_kubernetes(json.dumps(document))
        else:
            whole = {"apiVersion": TEXT, "kind": TEXT, "metadata": dict, "spec": custom}
            problems = [] if matches(document, whole) else ["does not match its schema"]
        yield from (f"{document['kind']} {document['metadata'].get('name')}: {each}" for each in problems)


def matches(value: Any, schema: Schema) -> bool:
    match schema:
        case dict():
            known = {name.rstrip("?"): each for name, each in schema.items()}
            required = {name for name in schema if not name.endswith("?")}
            return (
                isinstance(value, dict)
                and required <= value.keys() <= known.keys()
                and all(matches(each, known[name]) for name, each in value.items())
            )
        case tuple():
            return any(matches(value, each) for each in schema)
        case [element]:
            return isinstance(value, list) and bool(value) and all(matches(each, element) for each in value)
        case str():
            return isinstance(value, str) and re.fullmatch(schema, value) is not None
        case type():
            return isinstance(value, schema)
        case _:
            return value in schema


@cache
def _by_kubernetes(document: str) -> list[str]:
    """Validate with Kubernetes' own schemas. Cached, because it is slow and most documents are unchanged."""
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
