"""Admission against a slow model that examines every job: the same choice after any history."""

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from corejob_operator.admission import Admission, AdmissionEntry, Blocked

KEYS = st.sampled_from([f"{n:02}" for n in range(12)])
QUAL_NAMES = ["a.Job", "b.Job", "c.Job"]


@st.composite
def entries(draw: st.DrawFn) -> AdmissionEntry:
    key = draw(KEYS)
    return AdmissionEntry(
        key=key,
        qual_name=draw(st.sampled_from(QUAL_NAMES)),
        order=draw(st.sampled_from([key, "same"])),
        priority=draw(st.sampled_from([0, 0, 1, -1])),
        force=draw(st.sampled_from([False, False, False, True])),
        max_parallel=draw(st.integers(1, 3)),
        due=draw(st.sampled_from([0.0, 0.0, 5.0, 10.0, 20.0])),
    )


class Slow:
    """The rules of admission without indexes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.waiting: dict[str, AdmissionEntry] = {}
        self.active: dict[str, AdmissionEntry] = {}
        self.standing: set[str] = set()  # jobs that were due at the last call

    def counted(self, qual_name: str | None = None) -> int:
        return sum(
            not one.force and qual_name in {None, one.qual_name} for one in self.active.values()
        )

    def has_room(self, one: AdmissionEntry) -> bool:
        if one.force:
            return True
        within = not self.limit or self.counted() < self.limit
        return within and self.counted(one.qual_name) < one.max_parallel

    def forget(self, key: str) -> None:
        self.waiting.pop(key, None)
        self.active.pop(key, None)
        self.standing.discard(key)

    def admit(self, now: float) -> list[str]:
        admitted: list[str] = []
        self.standing = {one.key for one in self.waiting.values() if one.due <= now}
        while True:
            due = [one for one in self.waiting.values() if one.due <= now and self.has_room(one)]
            if not due:
                return admitted
            first = min(due, key=lambda one: (not one.force, -one.priority, one.order, one.key))
            self.forget(first.key)
            self.active[first.key] = first
            admitted.append(first.key)

    def blocked(self, key: str) -> Blocked | None:
        one = self.waiting.get(key)
        if one is None:
            return None
        if key not in self.standing:
            return Blocked(None)
        lane = [
            self.waiting[other]
            for other in self.standing
            if other in self.waiting and self.waiting[other].lane == one.lane
        ]
        ahead = sum(other.rank < one.rank for other in lane)
        running = self.counted(one.qual_name)
        if running >= one.max_parallel and not one.force:
            return Blocked("max_parallel", running, one.max_parallel, ahead)
        return Blocked("namespace", self.counted(), self.limit, ahead)


class Choice(RuleBasedStateMachine):
    """Jobs arrive, change, run, end and leave, while time passes."""

    @initialize(limit=st.sampled_from([0, 1, 2, 5]))
    def begin(self, limit: int) -> None:
        self.real, self.model = Admission(limit), Slow(limit)
        self.now = 0.0

    @rule(one=entries())
    def comes(self, one: AdmissionEntry) -> None:
        self.real.wait(one)
        if self.model.waiting.get(one.key) != one:
            self.model.forget(one.key)
            self.model.waiting[one.key] = one

    @rule(one=entries())
    def runs(self, one: AdmissionEntry) -> None:
        self.real.activate(one)
        if one.key not in self.model.active:
            self.model.forget(one.key)
            self.model.active[one.key] = one

    @rule(key=KEYS)
    def leaves(self, key: str) -> None:
        self.real.forget(key)
        self.model.forget(key)

    @precondition(lambda self: self.model.active)
    @rule(data=st.data())
    def ends(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.model.active)))
        self.leaves(key)

    @precondition(lambda self: self.model.active)
    @rule(data=st.data(), after=st.sampled_from([1.0, 10.0]))
    def fails(self, data: st.DataObject, after: float) -> None:
        key = data.draw(st.sampled_from(sorted(self.model.active)))
        again = replace(self.model.active[key], due=self.now + after)
        self.leaves(key)
        self.comes(again)

    @rule(seconds=st.sampled_from([0.0, 1.0, 5.0, 10.0]))
    def chooses(self, seconds: float) -> None:
        self.now += seconds
        admitted = self.real.admit(self.now)
        assert admitted == self.model.admit(self.now)
        for key in admitted:
            assert self.real.is_active(key)

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "real"):
            return
        assert self.real.waiting() == len(self.model.waiting)
        assert self.real.active() == len(self.model.active)
        for key in self.model.waiting:
            assert self.real.blocked(key) == self.model.blocked(key)

    def teardown(self) -> None:
        """No job starves: once the jobs before it have ended, each waiting one is admitted."""
        if not hasattr(self, "real"):
            return
        rounds = len(self.model.waiting) + len(self.model.active) + 1
        left = set(self.model.waiting)
        for _ in range(rounds):
            for key in list(self.model.active):
                self.leaves(key)
            self.chooses(20.0)
            left -= set(self.model.active)
        assert not left
        assert self.real.next_due() is None


TestChoice = Choice.TestCase
TestChoice.settings = settings(max_examples=120, stateful_step_count=30, deadline=None)
