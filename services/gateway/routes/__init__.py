"""The routes, by resource: each is one function."""

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
