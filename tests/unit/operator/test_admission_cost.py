"""A decision among ten thousand waiting jobs costs no more than among few, in comparisons."""

from collections.abc import Callable

import pytest

from corejob_operator.admission import Admission, AdmissionEntry

FEW, MANY = 100, 10_000
MOST = 250
"""Comparisons of one decision at `MANY`: about twenty steps (2^14 is 16,384) in each of a handful
of sorted lists. A scan of all jobs would take 10,000 and more.
"""


class Counted(str):
    """Text that counts its comparisons."""

    __slots__ = ()
    comparisons = 0

    def __lt__(self, other: str) -> bool:
        Counted.comparisons += 1
        return str.__lt__(self, other)

    def __eq__(self, other: object) -> bool:
        Counted.comparisons += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def job(number: int, qual_name: str, max_parallel: int, due: float = 0.0) -> AdmissionEntry:
    key = Counted(f"{number:05}")
    return AdmissionEntry(key, qual_name, key, 0, False, max_parallel, due)


SHAPES: dict[str, Callable[[int], AdmissionEntry]] = {
    "one qual_name": lambda n: job(n, "a.Job", 3),
    "each its own qual_name": lambda n: job(n, f"a.J{n:05}", 3),
    "one qual_name, each its own limit": lambda n: job(n, "a.Job", n + 1),
    "not due yet": lambda n: job(n, "a.Job", 3, due=float(n)),
}


def full(shape: Callable[[int], AdmissionEntry], count: int) -> tuple[Admission, list[str]]:
    """Fill the queue with `count` jobs, and return it with the keys of the running ones."""
    admission = Admission(limit=5)
    for n in range(count):
        admission.wait(shape(n))
    running = admission.admit(10.0)
    assert running
    assert admission.waiting() > count // 2
    return admission, running


def cost(work: Callable[[], object]) -> int:
    before = Counted.comparisons
    work()
    return Counted.comparisons - before


@pytest.mark.parametrize("name", SHAPES)
def test_the_next_job_starts_when_one_ends(name: str) -> None:
    shape = SHAPES[name]

    def worst(count: int) -> int:
        admission, running = full(shape, count)
        highest = 0
        for n in range(50):

            def decision(key: str, now: float) -> None:
                admission.forget(key)
                running.extend(admission.admit(now))

            highest = max(highest, cost(lambda: decision(running.pop(0), 20.0 + n)))  # noqa: B023
            assert running
        return highest

    few, many = worst(FEW), worst(MANY)
    assert many <= MOST
    assert many <= 4 * few + 50


@pytest.mark.parametrize("name", SHAPES)
def test_a_reconcile_of_a_waiting_job(name: str) -> None:
    admission, _ = full(SHAPES[name], MANY)

    assert cost(lambda: admission.blocked(f"{MANY // 2:05}")) <= MOST
    assert cost(lambda: admission.wait(SHAPES[name](MANY + 1))) <= MOST
    assert cost(lambda: admission.forget(f"{MANY // 2 + 1:05}")) <= MOST
    assert cost(lambda: admission.admit(20.0)) <= MOST
