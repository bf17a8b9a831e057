"""The OpenAPI document agrees with the routes."""

import re
from datetime import date, datetime
from typing import Any

import jsonschema
from tests.support.fake_apiserver.server import FakeApiServer
from tests.unit.api.conftest import DUMMY, RunningApi, enqueue

from corejob.properties import BY_REST
from corejob_api.http.routing import BASE
from corejob_api.openapi_streams import SCHEMAS
from corejob_api.query import log_rows
from corejob_api.streams.frames import Event

METHODS = {"get", "post", "put"}


def references(part: Any) -> list[str]:
    if isinstance(part, list):
        return [found for item in part for found in references(item)]
    if not isinstance(part, dict):
        return []
    inner = [found for value in part.values() for found in references(value)]
    return inner + ([part["$ref"]] if "$ref" in part else [])


def is_date(text: Any) -> bool:
    return not isinstance(text, str) or bool(date.fromisoformat(text))


def is_date_time(text: Any) -> bool:
    return not isinstance(text, str) or ("T" in text and bool(datetime.fromisoformat(text)))


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
        needs_user = operation.get("security") != []
        assert ("401" in operation["responses"]) is (needs_user or path.endswith("/login"))
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
    view = {"level", "grep", "since", "trial", "tail", "output", "last_event_id"}
    for path in ("/job/follow/{job_id}", "/job/log/{job_id}"):
        named = {found["name"] for found in document["paths"][BASE + path]["get"]["parameters"]}
        assert view <= named
    for path, method in (("/job", "post"), ("/job/restart/{job_id}", "put")):
        body = document["paths"][BASE + path][method]["requestBody"]["content"]
        assert view <= set(body["application/json"]["schema"]["properties"])


async def test_a_row_of_the_catalogue_has_the_fields_of_its_schema(
    api: RunningApi, kube: FakeApiServer
) -> None:
    job_id = "6743a1b2c3d4e5f6a7b8c9d0"
    status = {
        "nextScheduleTime": "2026-11-29T03:00:00Z",
        "lastJobId": job_id,
        "lastJobState": "error",
        "message": "skipped",
        "conditions": [{"type": "Valid", "status": "False", "message": "no image"}],
    }
    body = kube.objects["corejobtemplates"][DUMMY.lower()]
    spec = {**body["spec"], "schedule": "0 3 * * *"}
    kube.put("corejobtemplates", {**body, "spec": spec, "status": status})
    async with api.client() as client:
        document = (await client.get("openapi.json")).json()
        await api.until(lambda: any(one.row["last_job"] for one in api.service.catalogue))
        rows = (await client.get("job/list")).json()["data"]
    template = document["components"]["schemas"]["Template"]

    assert sorted(row["last_job"] or "" for row in rows) == ["", job_id]
    for row in rows:
        assert sorted(row) == sorted(template["properties"]) == sorted(template["required"])
        jsonschema.validate(row, template, jsonschema.Draft202012Validator)


async def test_all_that_is_answered_to_any_request_is_documented(api: RunningApi) -> None:
    async with api.client(user=None) as anonymous:
        document = (await anonymous.get(BASE + "/openapi.json")).json()
    for operations in document["paths"].values():
        for operation in operations.values():
            assert operation["responses"].keys() >= {
                "400",
                "403",
                "405",
                "408",
                "413",
                "503",
                "505",
            }
    answers = document["components"]["responses"]
    for code, name in (("401", "WWW-Authenticate"), ("405", "Allow"), ("503", "Retry-After")):
        assert list(answers[code]["headers"]) == [name]
    assert list(answers["505"]["content"]) == ["text/plain"]


async def test_the_document_does_not_allow_values_that_the_service_refuses(api: RunningApi) -> None:
    async with api.client(user=None) as anonymous:
        document = (await anonymous.get(BASE + "/openapi.json")).json()

    moments = jsonschema.FormatChecker([])
    # The library's own checks of times need further packages.
    moments.checks("date", raises=ValueError)(is_date)
    moments.checks("date-time", raises=ValueError)(is_date_time)

    def schema(path: str, name: str) -> jsonschema.Draft202012Validator:
        parameters = document["paths"][BASE + path]["get"]["parameters"]
        (found,) = [one for one in parameters if one["name"] == name]
        inner = found.get("schema") or found["content"]["application/json"]["schema"]
        return jsonschema.Draft202012Validator(inner, format_checker=moments)

    refused: dict[tuple[str, str], tuple[Any, ...]] = {
        ("/job", "sort"): ([["a", 2]], [["a", 1, 1]], [[1, 1]], ["a"], [["a", "1"]], "a"),
        ("/job", "order"): (0, 2, "x"),
        ("/job/journal", "per_page"): (0, 1001),
        ("/job/log/{job_id}", "since"): ("yesterday", [], {}),
        ("/job/log/{job_id}", "level"): (10_000, "LOUD"),
        ("/job/log/{job_id}", "tail"): (-1,),
        ("/job/log/{job_id}", "last_event_id"): ("-1", "x"),
        ("/queue/history", "startDate"): ("tomorrow", 5),
        ("/queue/history", "sort"): (0,),
    }
    async with api.client() as client:
        job_id = await enqueue(client)
        for (path, name), values in refused.items():
            url = path.lstrip("/").format(job_id=job_id)
            for value in values:
                assert not schema(path, name).is_valid(value), (path, name, value)
                answer = await client.request("GET", url, json={name: value})
                # `startDate` and other string parameters accept a number as a string of digits.
                if not (name == "sort" and value == "a"):
                    assert answer.status_code == 400, (path, name, value)
    for moment in ("2026-11-28", "2026-11-28T10:00:00Z", "2026-11-28T10:00:00.5+02:00"):
        assert schema("/queue/history", "startDate").is_valid(moment)


def test_an_event_of_a_stream_has_a_schema_of_its_own() -> None:
    kinds = {one["$ref"].rsplit("/", 1)[1] for one in SCHEMAS["Stream"]["oneOf"]}
    kinds |= {one["$ref"].rsplit("/", 1)[1] for one in SCHEMAS["Summaries"]["oneOf"]}
    events = {SCHEMAS[kind]["properties"]["event"]["const"] for kind in kinds}
    assert events == set(Event)


def test_a_frame_may_repeat_the_number_that_a_client_resumes_from() -> None:
    (pattern,) = {
        kind["properties"]["id"]["pattern"]
        for kind in SCHEMAS.values()
        if "id" in kind.get("properties", {})
    }
    assert re.fullmatch(pattern, log_rows.number(7))
    assert re.fullmatch(pattern, log_rows.number(10**18 - 1))
