"""Examples of admission: order, limits, due times, forced jobs, and why a job waits."""

import pytest

from corejob_operator.admission import Admission, AdmissionEntry, Blocked

LATER = 1000.0


def entry(key: str, qual_name: str = "a.Job", **more: object) -> AdmissionEntry:
    fields: dict[str, object] = {
        "order": key,
        "priority": 0,
        "force": False,
        "max_parallel": 15,
        **more,
    }
    return AdmissionEntry(key, qual_name, **fields)  # type: ignore[arg-type]


def queue_of(*entries: AdmissionEntry, limit: int = 0) -> Admission:
    admission = Admission(limit)
    for one in entries:
        admission.wait(one)
    return admission


# --- order ----------------------------------------------------------------------------------


def test_the_oldest_starts_first_whenever_it_was_added() -> None:
    assert queue_of(entry("3"), entry("1"), entry("2")).admit(0) == ["1", "2", "3"]


def test_a_higher_priority_goes_before_an_older_one() -> None:
    admission = queue_of(entry("1"), entry("2", priority=5), entry("3", priority=-1))

    assert admission.admit(0) == ["2", "1", "3"]


def test_forced_jobs_start_first_by_priority_and_age() -> None:
    admission = queue_of(
        entry("1", priority=100),
        entry("4", "b.Job", force=True),
        entry("3", force=True),
        entry("5", force=True, priority=1),
    )

    assert admission.admit(0) == ["5", "3", "4", "1"]


def test_the_order_holds_over_all_qual_names_under_the_namespace_limit() -> None:
    admission = queue_of(
        entry("2", "b.Job"), entry("1", "a.Job"), entry("3", "c.Job", priority=1), limit=2
    )

    assert admission.admit(0) == ["3", "1"]


def test_two_jobs_of_the_same_id_do_not_hide_each_other() -> None:
    admission = queue_of(entry("b", order="same"), entry("a", order="same"))

    assert admission.admit(0) == ["a", "b"]


# --- limits ---------------------------------------------------------------------------------


def test_max_parallel_counts_each_qual_name_by_itself() -> None:
    admission = queue_of(
        *(entry(f"a{n}", max_parallel=2) for n in range(3)),
        *(entry(f"b{n}", "b.Job", max_parallel=2) for n in range(3)),
    )

    assert admission.admit(0) == ["a0", "a1", "b0", "b1"]
    admission.forget("a0")
    assert admission.admit(0) == ["a2"]


def test_a_full_qual_name_does_not_hold_up_the_others() -> None:
    admission = queue_of(
        entry("1", max_parallel=1), entry("2", max_parallel=1), entry("3", "b.Job"), limit=2
    )

    assert admission.admit(0) == ["1", "3"]


def test_each_job_is_measured_by_its_own_limit() -> None:
    admission = queue_of(
        entry("1", max_parallel=3), entry("2", max_parallel=1), entry("3", max_parallel=3)
    )

    assert admission.admit(0) == ["1", "3"]
    admission.forget("1")
    assert admission.admit(0) == []
    admission.forget("3")
    assert admission.admit(0) == ["2"]


def test_the_namespace_limit_counts_all_together() -> None:
    admission = queue_of(entry("1", "a.A"), entry("2", "a.B"), entry("3", "a.C"), limit=2)

    assert admission.admit(0) == ["1", "2"]
    admission.forget("2")
    assert admission.admit(0) == ["3"]


def test_running_jobs_count() -> None:
    admission = Admission(2)
    admission.activate(entry("old", max_parallel=1))
    admission.wait(entry("1", max_parallel=1))
    admission.wait(entry("2", "b.Job"))
    admission.wait(entry("3", "c.Job"))

    assert admission.admit(0) == ["2"]


def test_a_job_is_counted_once_however_often_it_is_activated() -> None:
    admission = Admission()
    for _ in range(3):
        admission.activate(entry("1", max_parallel=2))
    admission.wait(entry("2", max_parallel=2))

    assert admission.admit(0) == ["2"]
    assert admission.active() == 2


def test_forced_jobs_start_over_any_limit_and_take_no_place() -> None:
    admission = queue_of(
        entry("1", max_parallel=1),
        *(entry(f"f{n}", force=True, max_parallel=1) for n in range(3)),
        entry("2", "b.Job"),
        limit=2,
    )

    assert admission.admit(0) == ["f0", "f1", "f2", "1", "2"]
    admission.wait(entry("f9", force=True, max_parallel=1))
    assert admission.admit(0) == ["f9"]


def test_no_limit_is_no_limit() -> None:
    admission = queue_of(*(entry(f"{n:03}", f"a.J{n}") for n in range(200)))

    assert len(admission.admit(0)) == 200


# --- due times ------------------------------------------------------------------------------


def test_no_job_starts_before_it_is_due() -> None:
    admission = queue_of(entry("1", due=LATER), entry("2"))

    assert admission.admit(LATER - 0.001) == ["2"]
    assert admission.next_due() == LATER
    assert admission.admit(LATER) == ["1"]
    assert admission.next_due() is None


def test_a_job_that_is_not_due_blocks_no_other() -> None:
    admission = queue_of(entry("1", due=LATER, priority=9), entry("2", max_parallel=1), limit=1)

    assert admission.admit(0) == ["2"]


def test_a_job_that_falls_due_takes_its_rank_not_the_end() -> None:
    admission = queue_of(entry("1", due=LATER), entry("2"), entry("3"), limit=1)

    assert admission.admit(0) == ["2"]
    admission.forget("2")
    assert admission.admit(LATER) == ["1"]


def test_a_restart_brings_the_time_forward() -> None:
    admission = queue_of(entry("1", due=LATER))
    admission.wait(entry("1", due=0.0))

    assert admission.admit(0) == ["1"]
    assert admission.next_due() is None


# --- changed jobs ---------------------------------------------------------------------------


def test_a_new_priority_moves_a_waiting_job() -> None:
    admission = queue_of(entry("0"), entry("1"), entry("2"), limit=1)
    assert admission.admit(0) == ["0"]
    admission.wait(entry("2", priority=1))
    admission.forget("0")

    assert admission.admit(0) == ["2"]


def test_a_waiting_job_that_is_forced_goes_at_once() -> None:
    admission = queue_of(entry("1"), entry("2"), limit=1)
    assert admission.admit(0) == ["1"]
    admission.wait(entry("2", force=True))

    assert admission.admit(0) == ["2"]


def test_a_job_that_left_is_not_admitted() -> None:
    admission = queue_of(entry("1"), entry("2"))
    admission.forget("1")
    admission.forget("unknown")

    assert admission.admit(0) == ["2"]
    assert (admission.waiting(), admission.active()) == (0, 1)
    assert admission.is_active("2")
    assert not admission.is_active("1")


# --- why a job waits ------------------------------------------------------------------------


def test_the_limit_that_blocks_is_named() -> None:
    admission = queue_of(
        *(entry(f"a{n}", max_parallel=1) for n in range(3)),
        entry("b", "b.Job"),
        entry("c", "c.Job"),
        entry("later", due=LATER),
        limit=2,
    )
    assert admission.admit(0) == ["a0", "b"]

    assert admission.blocked("a1") == Blocked("max_parallel", 1, 1, 0)
    assert admission.blocked("a2") == Blocked("max_parallel", 1, 1, 1)
    assert admission.blocked("c") == Blocked("namespace", 2, 2, 0)
    assert admission.blocked("later") == Blocked(None)


@pytest.mark.parametrize("key", ["runs", "unknown"])
def test_a_job_that_does_not_wait_is_not_blocked(key: str) -> None:
    admission = queue_of(entry("runs"))
    admission.admit(0)

    assert admission.blocked(key) is None
