"""Output and files of a container are data: its job ends, and other jobs are unharmed."""

import json
from typing import Any

import pytest
from tests.attacks.names import OPEN
from tests.attacks.scripts import SECONDS, run, run_to_end
from tests.support.kubectl import Kubectl
from tests.support.rest import Rest
from tests.support.scripts import DRAINED
from tests.support.waiting import until

FAILED = "raise SystemExit(1)"


def last_words(text: str, then: str = FAILED) -> str:
    return f"open('/dev/termination-log', 'w').write({text!r})\n{then}"


def error_of(**fields: Any) -> str:
    return json.dumps({"lastError": {"exception": "x", **fields}})


LAST_WORDS = {
    "brackets": "[" * 4000,
    "braces": '{"a":' * 700,
    "traceback is a text": error_of(traceback="text"),
    "traceback of no texts": error_of(traceback=[1, None, {"a": []}]),
    "traceback of traces": error_of(traceback=[["a"], ["b"]]),
    "timestamp is an object": error_of(timestamp={"a": 1}),
    "timestamp is no time": error_of(timestamp="0000-00-00T99:99:99Z"),
    "timestamp is huge": error_of(timestamp=10**300),
    "exception is an object": json.dumps({"lastError": {"exception": {"a": [1]}}}),
    "error is a list": json.dumps({"lastError": [1, 2]}),
    "lone surrogates": '{"lastError": {"exception": "\\ud800 \\udfff"}}',
    "NUL": '{"lastError": {"exception": "a\\u0000b"}}',
    "cookie": json.dumps({"cookie": [[[1]]], "lastError": {"exception": "x"}}),
    "numbers": '{"lastError": {"exception": "x"}, "n": 1e999, "attemptsLeft": -1e308}',
    "not an object": "null",
    "digits": "9" * 4000,
}


def test_last_words_of_any_form_end_the_job_in_error(rest: Rest) -> None:
    ids = {name: run(rest, last_words(text)) for name, text in LAST_WORDS.items()}
    ended = {
        name: rest.wait_state(job_id, "error", "complete", "killed", seconds=SECONDS)["state"]
        for name, job_id in ids.items()
    }
    assert ended == dict.fromkeys(LAST_WORDS, "error")


@pytest.mark.parametrize(
    "kind", ["brackets", pytest.param("traceback is a text", marks=pytest.mark.thorough)]
)
def test_a_job_with_odd_last_words_can_be_killed_removed_and_deleted(
    rest: Rest, kubectl: Kubectl, kind: str
) -> None:
    again = run(rest, last_words(LAST_WORDS[kind]), attempts=9, error_time=600)
    document = rest.wait_state(again, "failed", seconds=SECONDS)
    assert document["attempts_left"] == 8
    rest.kill(again)
    rest.wait(again, lambda seen: seen["reason"] == "Killed", what="is killed", seconds=SECONDS)
    assert rest.detail(again)["state"] == "killed"

    removed = run(rest, last_words(LAST_WORDS[kind], "import time; time.sleep(600)"))
    rest.wait_state(removed, "running", seconds=SECONDS)
    rest.remove(removed)
    rest.kill(removed)
    rest.wait_state(removed, "killed")

    # Not equal to the first job, which waits in the queue.
    words = last_words(LAST_WORDS[kind])
    deleted = run(rest, words, attempts=9, error_time=600, number=2)
    rest.wait_state(deleted, "failed", seconds=SECONDS)
    kubectl("delete", "corejob", deleted, "--timeout=120s")


def event(n: int, kind: str, body: str) -> str:
    return f'{{"core4":1,"n":{n},"type":"{kind}","time":1.0,{body}}}'


def printed(*lines: str) -> str:
    """Return a text that prints lines; `DEEP` is 5,000 levels of lists, too deep for a literal."""
    return (
        f"for line in {list(lines)!r}:\n"
        "    print(line.replace('DEEP', '[' * 5000 + ']' * 5000), flush=True)\n"
    )


DEEP_LINES = [
    event(1, "log", '"level":"INFO","message":"x","exception":{"info":DEEP}'),
    event(2, "log", '"level":"INFO","message":DEEP'),
    event(3, "progress", '"value":DEEP,"message":"x"'),
    event(4, "source", '"name":DEEP'),
    event(5, "cookie", '"key":"deep","value":DEEP'),
    event(6, "DEEP", '"a":1'),
    '{"level":"INFO","message":DEEP}',
    "DEEP",
]


def test_a_line_that_is_nested_deeply_costs_no_other_line(rest: Rest) -> None:
    document = run_to_end(rest, printed("first", *DEEP_LINES, "last") + DRAINED)
    assert document["state"] == "complete"
    messages = rest.messages(document["_id"])
    assert messages[0] == "first"
    assert "last" in messages
    assert len(messages) >= len(DEEP_LINES)
    assert not rest.has_gap(document["_id"])


def cookie_of(kubectl: Kubectl) -> dict[str, Any]:
    name = OPEN.lower()
    found: dict[str, Any] = kubectl.json("get", "corejobtemplate", name).get("status", {})
    return dict(found.get("cookie", {}))


COOKIES = """
def tell(n, key, value):
    print('{"core4":1,"n":%d,"type":"cookie","time":1.0,"key":"%s","value":%s}' % (n, key, value))
tell(1, "deep", "[" * 980 + "]" * 980)
tell(2, "long", '"' + "x" * 100_000 + '"')
for n in range(300):
    tell(3 + n, "k%d" % n, '"' + "x" * 60_000 + '"')
for n in range(20_000):
    tell(303 + n, "small%d" % n, "1")
"""


def test_cookies_are_bounded_in_depth_size_and_sum_and_the_class_goes_on(
    rest: Rest, kubectl: Kubectl
) -> None:
    document = run_to_end(rest, COOKIES)
    assert document["state"] == "complete"
    records = rest.whole_log(document["_id"])
    warned = [row["message"] for row in records if row["level"] == "WARNING"]
    assert any("deep" in text for text in warned)
    assert any("long" in text for text in warned)
    kept = until(lambda: cookie_of(kubectl), what="the cookie is told")
    assert "deep" not in kept
    assert "long" not in kept
    assert len(json.dumps(kept)) < 2**19
    assert run_to_end(rest, "print('after')")["state"] == "complete"


SOURCES = """
import time
for n in range(100):
    print('{"core4":1,"n":%d,"type":"source","time":1.0,"name":"s%d"}' % (n + 1, n), flush=True)
    time.sleep(0.02)
"""


def test_all_sources_arrive_at_any_distance(rest: Rest) -> None:
    document = run_to_end(rest, SOURCES + DRAINED)
    rest.whole_log(document["_id"])
    found = rest.wait(
        document["_id"], lambda seen: len(seen["sources"] or ()) == 100, what="has its sources"
    )
    assert found["sources"] == [f"s{n}" for n in range(100)]


# The container runtime stores such a line in parts, each with its own time: here two seconds.
PARTS = """
import sys, time
write = sys.stdout.write
print("begin", flush=True)
now = time.time()
time.sleep(1 - now % 1 + 0.8)
write("A" * 40_000)
sys.stdout.flush()
time.sleep(0.4)
write("B\\n")
sys.stdout.flush()
time.sleep(1.3)
print("end", flush=True)
"""


def test_a_long_line_in_parts_does_not_keep_the_log_open(rest: Rest) -> None:
    job_id = run_to_end(rest, PARTS + DRAINED)["_id"]
    # The stream ends with the log, and `messages` waits for that far less than the 600 s after
    # which the recorder gives up an incomplete log.
    assert rest.messages(job_id) == ["begin", "A" * 40_000 + "B", "end"]
    assert not rest.has_gap(job_id)
