"""The OpenAPI document says what the routes do."""

from typing import Any

from tests.unit.api.conftest import RunningApi

from corejob.properties import BY_REST
from corejob_api.routing import BASE

METHODS = {"get", "post", "put"}


def references(part: Any) -> list[str]:
    if isinstance(part, list):
        return [found for item in part for found in references(item)]
    if not isinstance(part, dict):
        return []
    inner = [found for value in part.values() for found in references(value)]
    return inner + ([part["$ref"]] if "$ref" in part else [])


async def test_it_is_public_and_has_every_route(api: RunningApi) -> None:
    async with api.client(user=None) as anonymous:
        answer = await anonymous.get(BASE + "/openapi.json")
    document = answer.json()
    assert document["openapi"].startswith("3.1.")
    listed = {
        (method.upper(), path.removeprefix(BASE))
        for path, operations in document["paths"].items()
        for method in operations
    }
    assert listed == {(route.method, route.path) for route in api.service.routes}


async def test_its_shape(api: RunningApi) -> None:
    async with api.client(user=None) as anonymous:
        document = (await anonymous.get(BASE + "/openapi.json")).json()
    operations = [
        (method, path, operation)
        for path, found in document["paths"].items()
        for method, operation in found.items()
    ]
    names = [operation["operationId"] for _, _, operation in operations]
    assert len(set(names)) == len(names)
    for method, path, operation in operations:
        assert method in METHODS
        assert operation["summary"].endswith(".")
        assert "200" in operation["responses"]
        assert "405" in operation["responses"]
        in_path = [p["name"] for p in operation["parameters"] if p["in"] == "path"]
        assert in_path == (["job_id"] if "{job_id}" in path else [])
        for parameter in operation["parameters"]:
            assert ("schema" in parameter) != ("content" in parameter)
        assert ("401" in operation["responses"]) is (operation.get("security") != [])
    for reference in references(document):
        part: Any = document
        for name in reference.removeprefix("#/").split("/"):
            part = part[name]
    args = document["paths"][BASE + "/job"]["post"]["requestBody"]["content"]["application/json"]
    assert set(args["schema"]["properties"]["args"]["properties"]) == {*BY_REST}
    assert args["schema"]["required"] == ["qual_name"]


async def test_the_arguments_of_logs(api: RunningApi) -> None:
    async with api.client(user=None) as anonymous:
        document = (await anonymous.get(BASE + "/openapi.json")).json()
    view = {"level", "grep", "since", "tail", "last_event_id"}
    for path in ("/job/follow/{job_id}", "/job/log/{job_id}"):
        named = {found["name"] for found in document["paths"][BASE + path]["get"]["parameters"]}
        assert view <= named
    for path, method in (("/job", "post"), ("/job/restart/{job_id}", "put")):
        body = document["paths"][BASE + path][method]["requestBody"]["content"]
        assert view <= set(body["application/json"]["schema"]["properties"])
