"""No object's JSON breaks the decoder: one that is too deep is cut and marked."""

import json
from typing import Any

import pytest
from tests.support.fake_apiserver.scripted import event, item

from corejob.names import UNREADABLE
from corejob.nesting import MAX_OBJECT_DEPTH
from corejob_kube.decoding import EVENT_LEVELS, LIST_LEVELS, Decoder


def deep(levels: int, name: str = "deep", version: int = 7) -> str:
    """Return a CoreJob's JSON with this number of levels in all."""
    args = '{"a":' * (levels - 2) + "1" + "}" * (levels - 2)
    meta = json.dumps({"name": name, "uid": "u1", "resourceVersion": str(version)})
    spec = f'{{"qualName": "a.Job", "args": {args}}}'
    return f'{{"kind": "CoreJob", "metadata": {meta}, "spec": {spec}, "status": {{"trial": 2}}}}'


@pytest.fixture
def decoder() -> Decoder:
    return Decoder()


def shape(body: dict[str, Any]) -> tuple[str, int, str | None]:
    return body["metadata"]["name"], body["status"]["trial"], body.get(UNREADABLE)


@pytest.mark.parametrize("levels", [MAX_OBJECT_DEPTH + 1, 600, 1200, 9999])
def test_an_object_that_is_too_deep_keeps_its_name_and_status_and_is_marked(
    decoder: Decoder, levels: int
) -> None:
    why = f"it is nested deeper than {MAX_OBJECT_DEPTH} levels; what lies deeper is left out"
    alone = decoder.decode(deep(levels).encode())
    assert shape(alone) == ("deep", 2, why)
    line = f'{{"type": "ADDED", "object": {deep(levels)}}}'.encode()
    assert shape(decoder.decode(line, EVENT_LEVELS)["object"]) == ("deep", 2, why)
    assert shape(json.loads(decoder.readable(line))["object"]) == ("deep", 2, why)
    found = decoder.decode(f'{{"items": [{deep(levels)}]}}'.encode(), LIST_LEVELS)
    assert shape(found["items"][0]) == ("deep", 2, why)


def test_the_deepest_that_is_read_is_the_same_alone_in_a_list_and_in_a_watch(
    decoder: Decoder,
) -> None:
    text = deep(MAX_OBJECT_DEPTH)
    line = f'{{"type": "ADDED", "object": {text}}}'.encode()
    assert decoder.decode(text.encode()) == json.loads(text)
    assert decoder.readable(line) is line
    assert decoder.decode(line, EVENT_LEVELS)["object"] == json.loads(text)
    found = decoder.decode(f'{{"items": [{text}]}}'.encode(), LIST_LEVELS)
    assert found["items"] == [json.loads(text)]


def test_in_a_list_only_the_object_that_is_too_deep_is_cut(decoder: Decoder) -> None:
    other = item("good", 3, spec={"args": {"x": [1, None, "cut"]}})
    text = f'{{"items": [{json.dumps(other)}, {deep(1200)}], "metadata": {{"x": 1}}}}'
    found = decoder.decode(text.encode(), LIST_LEVELS)
    assert (found["items"][0], found["metadata"]) == (other, {"x": 1})
    assert UNREADABLE in found["items"][1]


def test_an_object_that_is_no_json_is_passed_over_and_the_rest_of_the_list_is_read(
    decoder: Decoder, caplog: pytest.LogCaptureFixture
) -> None:
    text = b'{"items": [{"a": 1}, {"b": "\xff"}, {"c": 3}], "metadata": {"resourceVersion": "5"}}'
    found = decoder.decode(text, LIST_LEVELS)
    assert found == {"items": [{"a": 1}, {"c": 3}], "metadata": {"resourceVersion": "5"}}
    assert "an object is passed over" in caplog.text


def test_it_is_said_once_of_each_version(
    decoder: Decoder, caplog: pytest.LogCaptureFixture
) -> None:
    for version in (7, 7, 8, 7):
        decoder.decode(deep(1200, version=version).encode())
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert said[0].startswith("the CoreJob deep is unreadable: ")


@pytest.mark.parametrize("text", [b"", b"<html>", b'{"a": ', b"[" * 5000])
def test_malformed_json_is_an_error_that_can_be_caught(decoder: Decoder, text: bytes) -> None:
    for levels in (0, EVENT_LEVELS, LIST_LEVELS):
        with pytest.raises(ValueError, match=r".*"):
            decoder.decode(text, levels)


def test_an_ordinary_line_of_a_watch_is_left_as_it_is(decoder: Decoder) -> None:
    line = json.dumps(event("ADDED", item("a", 1, spec={"x": [{}] * 300}))).encode()
    assert decoder.readable(line) is line


def managed(when: str, **more: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {"f:spec": {"f:args": {"f:x": {}}}}
    return {"manager": "kubectl", "fieldsType": "FieldsV1", "time": when, "fieldsV1": fields} | more


@pytest.mark.parametrize("levels", [MAX_OBJECT_DEPTH, 600])
def test_only_the_times_of_changes_outside_the_status_are_kept_of_the_managed_fields(
    decoder: Decoder, levels: int
) -> None:
    body = json.loads(deep(MAX_OBJECT_DEPTH))
    body["metadata"]["managedFields"] = [managed("t1"), managed("t2", subresource="status")]
    body["metadata"]["managedFields"].append(managed("t3", subresource="scale"))
    other = deep(levels)
    text = json.dumps(body)
    alone = decoder.decode(text.encode())
    assert alone["metadata"]["managedFields"] == [{"time": "t1"}, {"time": "t3"}]
    assert alone["spec"] == body["spec"]
    watched = decoder.decode(f'{{"type": "ADDED", "object": {text}}}'.encode(), EVENT_LEVELS)
    assert watched["object"] == alone
    listed = decoder.decode(f'{{"items": [{text}, {other}, 5]}}'.encode(), LIST_LEVELS)
    assert listed["items"][0] == alone
    assert shape(listed["items"][1])[:2] == ("deep", 2)


def test_an_object_is_readable_if_only_its_managed_fields_are_too_deep(decoder: Decoder) -> None:
    body = json.loads(deep(MAX_OBJECT_DEPTH))
    body["metadata"]["managedFields"] = [managed("t1", fieldsV1=body["spec"]["args"])]
    assert UNREADABLE not in decoder.decode(json.dumps(body).encode())


@pytest.mark.parametrize("meta", [{"managedFields": None}, {"managedFields": []}, {}, None, "x"])
def test_an_object_without_managed_fields_stays_as_it_is(decoder: Decoder, meta: Any) -> None:
    body = {"metadata": meta, "spec": {"x": 1}}
    assert decoder.decode(json.dumps(body).encode()) == body
