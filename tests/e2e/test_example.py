"""The example of a user's own project: its image, its templates, its two jobs."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import yaml
from tests.cluster.deploy import ROOT
from tests.cluster.provider import Provider
from tests.support import project
from tests.support.kubectl import Kubectl
from tests.support.rest import Rest

pytestmark = pytest.mark.cluster

PROJECT = ROOT / "examples" / "python-jobs"
SALES = "shop.sales.DailySales"
ORDERS = "shop.orders.ImportOrders"


@pytest.fixture(scope="module")
def built(provider: Provider, image: str) -> str:
    """The name of the project's image, built from the service's own."""
    return project.build(provider, image, PROJECT, "shop")


def past_noon() -> str:
    """Return a time zone in which it is past noon."""
    return "UTC" if datetime.now(UTC).hour >= 12 else "Etc/GMT-12"


@pytest.fixture(scope="module")
def _applied(built: str, rest: Rest, kubectl: Kubectl) -> Iterator[None]:
    """Apply the templates of its jobs, as the README describes."""
    templates = list(yaml.safe_load_all(project.templates(PROJECT, "shop", built)))
    (sales,) = [document for document in templates if document["spec"]["qualName"] == SALES]
    # At 6:00 its schedule would enqueue a job, which may write the report that a test waits for.
    sales["spec"]["timeZone"] = past_noon()
    kubectl.apply(*templates)
    patch = str(PROJECT / "orders-volume.json")
    name = ORDERS.lower()
    kubectl("patch", "corejobtemplate", name, "--type=json", f"--patch-file={patch}")
    for qual_name in (SALES, ORDERS):
        rest.wait_listed(qual_name)
    yield
    # Otherwise its schedule would enqueue a job in the queue of other tests, once a day.
    kubectl("delete", "corejobtemplate", SALES.lower(), ORDERS.lower())


@pytest.mark.usefixtures("_applied")
def test_the_catalogue_has_both_jobs(rest: Rest):
    rows = {row["_id"]: row for row in rest.data("GET", "job/list", search="shop.*")}
    assert list(rows) == [ORDERS, SALES]
    assert rows[SALES]["schedule"] == "0 6 * * *"
    assert rows[ORDERS]["schedule"] is None
    assert rows[SALES]["author"] == "Ada"
    assert rows[SALES]["doc"] == "Sums up yesterday's sales, shop by shop."


@pytest.mark.usefixtures("_applied")
def test_the_report_runs_with_progress(rest: Rest):
    # A running job's progress may be skipped when a newer one has been reported, so this job waits
    # until its progress was seen.
    with rest.run(SALES, shops=4, pause=600) as stream:
        seen = stream.wait(
            lambda frame: frame.event == "state" and frame.data["prog"]["value"] > 0,
            what="its progress",
        ).data
        assert seen["prog"] == {"value": 0.25, "message": "shop 1 of 4"}
        rest.kill(seen["_id"])
        stream.to_close()
    with rest.run(SALES, shops=4, pause=0) as stream:
        stream.to_close()
    assert stream.states[-1] == "complete"
    last = stream.of("state")[-1]
    assert (last["attempts"], last["error_time"]) == (3, 60)
    assert [text for text in stream.messages if text.startswith("shop ")][3].startswith("shop 4")
    assert stream.messages[-3].startswith("4 shops sold for ")
    assert stream.messages[-2] == "this was report no. 1"
    # The cookie belongs to the class, not to the job.
    with rest.run(SALES, shops=1, pause=0) as stream:
        stream.to_close()
    assert stream.messages[-2] == "this was report no. 2"


@pytest.mark.usefixtures("_applied")
def test_the_import_defers_until_its_file_is_there(rest: Rest, kubectl: Kubectl):
    job_id = rest.enqueue(ORDERS)
    document = rest.wait_state(job_id, "deferred")
    assert document["last_error"]["exception"] == "no file [/data/orders.csv] yet"
    assert (document["defer_time"], document["defer_max"]) == (5, 600)
    orders = "--from-literal=orders.csv=item,count\napples,3\npears,4\n"
    kubectl("create", "configmap", "orders", orders)
    # The recorder may write the sources after the operator has written the state.
    document = rest.wait(
        job_id,
        lambda row: row["state"] == "complete" and bool(row["sources"]),
        what="is complete, with its sources",
    )
    assert document["sources"] == ["orders.csv"]
    assert document["attempts_left"] == 1
    messages = rest.messages(job_id)
    assert "imported [2] orders" in messages
    assert messages.count("start execution") == document["trial"] > 1
