"""The routes, by resource: each is one function.

A new one: a body is a `JsonBody` (strict: no unknown fields, no conversions), a response a model with
`from_message`; failures are `Problem`s, or those of the gRPC call, documented by `problems(...)`. An id in
the path is `{itemid:name}`, which ends before the colon of `:close`. The gateway serves the `router` of each
module of this package.
"""

from fastapi import APIRouter

from services.gateway.documentation import COMMON_PROBLEMS, problems
from services.gateway.json_route import ResourceRoute


def resource_router(name: str) -> APIRouter:
    """Return a router for /v1/`name`, whose operations are named like their functions."""
    return APIRouter(
        prefix=f"/v1/{name}",
        tags=[f"v1 {name}"],
        route_class=ResourceRoute,
        responses=COMMON_PROBLEMS | problems(404),
        generate_unique_id_function=lambda route: route.name,
    )
