"""Multipart forms: read as a whole, or refused."""

from typing import Any

import httpx
import pytest
from tests.support.fake_apiserver.server import FakeApiServer
from tests.unit.api.conftest import DUMMY

from corejob_api.http.errors import ApiError
from corejob_api.http.multipart import fields

TYPE = "multipart/form-data; boundary=B"


def part(name: str, value: str) -> bytes:
    return f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()


def form(*parts: bytes, end: bytes = b"--B--\r\n") -> bytes:
    return b"".join(b"--B\r\n" + one + b"\r\n" for one in parts) + end


def refusal(body: bytes, content_type: str = TYPE) -> str:
    with pytest.raises(ApiError) as caught:
        fields(content_type, body)
    assert caught.value.status == 400
    return caught.value.text


def test_the_last_of_a_name_counts() -> None:
    assert fields(TYPE, form(part("a", "1"), part("ä", "2"), part("a", "3"))) == {
        "a": "3",
        "ä": "2",
    }


def test_a_form_has_as_many_fields_as_any_other() -> None:
    many = [part(f"x{number}", "1") for number in range(1000)]
    assert len(fields(TYPE, form(*many))) == 1000
    assert refusal(form(*many, part("one more", "1"))) == "a request has at most 1000 arguments"


@pytest.mark.parametrize(
    ("body", "content_type", "reason"),
    [
        pytest.param(form(part("a", "1")), "multipart/form-data", "boundary", id="no boundary"),
        pytest.param(
            form(part("a", "1")), "multipart/form-data; boundary=" + "x" * 80, "boundary", id="long"
        ),
        pytest.param(
            form(part("a", "1")), "multipart/form-data; boundary=C", "structure", id="another"
        ),
        pytest.param(form(part("a", "1"), end=b""), TYPE, "structure", id="no end"),
        pytest.param(form(part("a", "1"), end=b"--B\r\n"), TYPE, "headers", id="no last part"),
        pytest.param(
            form(b"Content-Transfer-Encoding: base64\r\n" + part("a", "MQ==")),
            TYPE,
            "Content-Transfer-Encoding",
            id="encoded",
        ),
        pytest.param(
            form(b'Content-Disposition: form-data; name="\xff"\r\n\r\n1'),
            TYPE,
            "not UTF-8",
            id="latin-1",
        ),
        pytest.param(form(part("a" * 10_000, "1")), TYPE, "headers", id="a name that is too long"),
    ],
)
def test_a_form_that_can_not_be_read_is_refused(
    body: bytes, content_type: str, reason: str
) -> None:
    said = refusal(body, content_type)
    assert said.startswith("the multipart form can't be read: ")
    assert reason in said
    assert said.endswith("or send the arguments as JSON")


@pytest.mark.parametrize("body", [b"--", b"x", b"--B", b"--B\r\n\r\n", b"\x00\xff", b"--B--"])
@pytest.mark.parametrize("content_type", [TYPE, "multipart/form-data", "multipart/form-data; ;="])
def test_a_body_that_is_no_form_is_ignored(body: bytes, content_type: str) -> None:
    assert fields(content_type, body) == {}


@pytest.mark.parametrize(
    "body",
    [
        form(part("args", '{"day": 1}'), *(part(f"x{number}", "1") for number in range(1000))),
        form(part("args", '{"day": 1}'), end=b""),
    ],
)
async def test_no_job_is_enqueued_without_the_args_of_its_form(
    client: httpx.AsyncClient, kube: FakeApiServer, body: bytes
) -> None:
    params: dict[str, Any] = {"qual_name": DUMMY, "follow": "no"}
    headers = {"Content-Type": TYPE}
    answer = await client.post("job", params=params, content=body, headers=headers)
    assert answer.status_code == 400
    assert kube.objects["corejobs"] == {}
