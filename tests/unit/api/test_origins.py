"""State-changing requests of foreign pages (CSRF), as browsers send them."""

from pathlib import Path

import httpx
import pytest
from tests.support.fake_apiserver.server import FakeApiServer
from tests.unit.api.conftest import DUMMY, RunningApi, running

from corejob_journal.store import Writer

FORM = {"qual_name": DUMMY, "follow": "0"}
EVIL = "http://evil.example"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": EVIL, "Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://test:99", "Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": EVIL},
        {"Origin": "null"},
        {"Origin": "http://[bad"},
    ],
)
async def test_a_foreign_page_orders_nothing_with_a_remembered_password(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    assert (await client.post("job", data=FORM, headers=headers)).status_code == 403
    assert (await client.post("job", json=FORM, headers=headers)).status_code == 403
    assert (await client.put(f"job/kill/{'0' * 24}", headers=headers)).status_code == 403
    assert (await client.get("job")).json()["total_count"] == 0


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://test", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://TEST"},
        {"Origin": "https://front.example", "X-Forwarded-Host": "front.example"},
    ],
)
async def test_programs_and_own_pages_go_on(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    assert (await client.post("job", data=FORM, headers=headers)).status_code == 200


async def test_a_foreign_page_may_order_with_a_token_of_its_own(
    api: RunningApi, client: httpx.AsyncClient
) -> None:
    token = (await client.get("login")).json()["data"]["token"]
    headers = {"Origin": EVIL, "Sec-Fetch-Site": "cross-site", "Authorization": f"Bearer {token}"}
    async with api.client(None) as page:
        url = "/core4/api/v1/job"
        assert (await page.post(url, data=FORM, headers=headers)).status_code == 200
        page.cookies.set("token", token)
        assert (await page.post(url, data=FORM, headers=headers)).status_code == 403


async def test_named_origins_may_order(
    kube: FakeApiServer, writer: Writer, store_url: str, tmp_path: Path
) -> None:
    origins = ("https://app.example.com",)
    async with (
        running(kube, store_url, tmp_path, cors_origins=origins) as api,
        api.client() as made,
    ):
        site = {"Sec-Fetch-Site": "cross-site"}
        for origin, status in ((origins[0], 200), (EVIL, 403)):
            answer = await made.post("job", data=FORM, headers={**site, "Origin": origin})
            assert answer.status_code == status
