"""An operator that may crash after any single request, in a cluster where anything may happen.

Only the cluster's state is kept from one reconcile to the next, and the trial that the operator has
started last, until a crash. Whatever happens in between: no
trial runs twice, no two run at once, only valid transitions are made, attempts are counted
correctly, a job that has left the queue stays out of it, an archived document stays valid, and the
job comes to its end.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.unit.domain.builders import ID
from tests.unit.operator.builders import SETTINGS
from tests.unit.operator.small_cluster import SmallCluster

from corejob import names
from corejob.state import FINAL, STOPPED, State
from corejob_operator.decide import (
    Action,
    CreateTrial,
    DeleteJob,
    Situation,
    Turn,
    decide,
    due,
)

NO_CRASH = 99
PATIENT = replace(SETTINGS, journal_deadline=10_000)
"""The journal deadline exceeds any delay of the recorder here."""


class Life(RuleBasedStateMachine):
    """One CoreJob."""

    cluster: SmallCluster

    @initialize(attempts=st.integers(1, 3), defer=st.sampled_from([1, 100_000]))
    def begin(self, attempts: int, defer: int) -> None:
        self.cluster = SmallCluster(
            attempts=attempts, deferMaxSeconds=defer, errorTimeSeconds=20, deferTimeSeconds=20
        )
        self.attempts = attempts
        self.asked = False
        self.meddled = False
        self.out = False
        self.replaceable = False
        self.created: int | None = None

    # --- the operator -----------------------------------------------------------------------

    def reconcile(
        self, requests: int = NO_CRASH, meanwhile: Callable[[], None] | None = None
    ) -> bool:
        """Reconcile once, and stop after `requests` requests; return True if there was work to do.

        `meanwhile` is called just before the status write, as a change that the operator missed.
        """
        cluster = self.cluster
        job = cluster.job()
        if job is None:
            return False
        moment = due(job)
        free = moment is None or moment <= cluster.now
        situation = Situation(
            job=job,
            jobs=cluster.seen_jobs(),
            pods=cluster.seen_pods(),
            now=cluster.now,
            settings=PATIENT,
            turn=Turn(admitted=free),
            created_trial=self.created,
        )
        decision = decide(situation)
        for action in decision.actions:
            if not requests:
                self.created = None
                return True
            requests -= 1
            cluster.perform(action)
            self.remember(action)
        if not requests:
            self.created = None
            return bool(decision.actions)
        if decision.quiet or decision.status == job.status or cluster.corejob is None:
            return bool(decision.actions)
        if meanwhile is not None:
            meanwhile()
        cluster.write(decision.status)
        return True

    def remember(self, action: Action) -> None:
        """Remember the trial that this operator has started, as `StartedTrials` does."""
        match action:
            case CreateTrial(trial):
                assert self.created != trial, f"trial {trial} is created again"
                self.created = trial
            case DeleteJob(name) if name == names.trial_name(ID, self.created or 0):
                self.created = None

    @rule()
    def reconciles(self) -> None:
        self.reconcile()

    @rule()
    def operator_restarts(self) -> None:
        self.created = None

    @rule(requests=st.integers(0, 3))
    def crashes(self, requests: int) -> None:
        self.reconcile(requests)

    @rule()
    def reconciles_while_the_user_removes_it(self) -> None:
        self.reconcile(meanwhile=partial(self.ask, "remove"))

    @rule()
    def reconciles_while_the_user_restarts_it(self) -> None:
        self.reconcile(meanwhile=self.restart)

    # --- time, kubelet, Job controller, recorder ---------------------------------------------

    @rule(seconds=st.sampled_from([1, 10, 100]))
    def time_passes(self, seconds: float) -> None:
        self.cluster.passes(seconds)

    def pending(self) -> list[Any]:
        return [
            pod
            for pod in self.cluster.pods.values()
            if pod["status"]["phase"] == "Pending" and "deletionTimestamp" not in pod["metadata"]
        ]

    def running(self) -> list[Any]:
        return [pod for pod in self.cluster.pods.values() if self.cluster.running(pod)]

    @precondition(lambda self: self.pending())
    @rule()
    def container_starts(self) -> None:
        self.cluster.start(self.pending()[0])

    @precondition(lambda self: self.running())
    @rule(code=st.sampled_from([0, 1, 1, 75, 78]), seconds=st.integers(0, 5))
    def container_ends(self, code: int, seconds: int) -> None:
        self.cluster.passes(seconds)
        self.cluster.end(self.running()[0], code)

    @rule()
    def deleted_pods_vanish(self) -> None:
        for pod in list(self.cluster.pods.values()):
            if "deletionTimestamp" in pod["metadata"]:
                self.cluster.vanish(pod)

    @precondition(lambda self: self.cluster.corejob is not None)
    @rule()
    def recorder_works(self) -> None:
        self.cluster.follow()
        self.cluster.journal()

    @precondition(lambda self: self.pending() or self.running())
    @rule()
    def node_is_drained(self) -> None:
        self.cluster.evict((self.pending() or self.running())[0])

    @precondition(lambda self: self.pending())
    @rule()
    def kubelet_refuses_the_pod(self) -> None:
        self.cluster.reject(self.pending()[0])

    @precondition(lambda self: self.pending())
    @rule()
    def init_container_fails(self) -> None:
        self.cluster.fail_init(self.pending()[0])

    # --- users --------------------------------------------------------------------------------

    def alive(self, *, suspended: bool) -> list[Any]:
        """Return Jobs that have not ended."""
        jobs = [job for job in self.cluster.jobs.values() if not self.cluster.ended(job)]
        return [job for job in jobs if bool(job["spec"].get("suspend")) is suspended]

    @precondition(lambda self: self.alive(suspended=False))
    @rule()
    def somebody_suspends_job(self) -> None:
        self.cluster.suspend(self.alive(suspended=False)[0])

    @rule()
    def stopped_pods_end(self) -> None:
        for pod in self.running():
            if "deletionTimestamp" in pod["metadata"]:
                self.cluster.end(pod, 143)

    @rule()
    def deleted_pods_end_before_they_start(self) -> None:
        for pod in self.cluster.pods.values():
            phase = pod["status"]["phase"]
            if phase == "Pending" and "deletionTimestamp" in pod["metadata"]:
                self.cluster.give_up(pod)

    @rule()
    def job_controller_creates_the_pod_of_a_resumed_job(self) -> None:
        self.cluster.create_awaited_pods()

    def resumable(self) -> list[Any]:
        """Return suspended Jobs whose trial is not over.

        If the container of one has ended by itself meanwhile, it stays suspended until deleted:
        if it were resumed, Kubernetes would run it a second time.
        """
        job = self.cluster.job()
        if job is None:
            return []
        if job.status.state in {State.PENDING, State.RUNNING}:
            return self.alive(suspended=True)
        return [
            one
            for one in self.alive(suspended=True)
            if int(one["metadata"]["labels"][names.LABEL_TRIAL]) > job.status.trial
        ]

    @precondition(lambda self: self.resumable())
    @rule()
    def somebody_resumes_job(self) -> None:
        self.stopped_pods_end()
        for job in self.resumable()[:1]:  # the end of its pod may have ended the Job
            self.cluster.resume(job)

    @precondition(lambda self: self.cluster.corejob is not None)
    @rule(asked=st.sampled_from(["kill", "remove"]))
    def user_asks(self, asked: str) -> None:
        self.ask(asked)

    def ask(self, what: str) -> None:
        assert self.cluster.corejob is not None
        self.asked = True
        self.replaceable |= what == "kill"
        self.cluster.corejob["spec"][what] = True

    @precondition(lambda self: self.cluster.corejob is not None)
    @rule()
    def user_restarts(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Request a restart, under the same conditions as the API server."""
        job = self.cluster.job()
        assert job is not None
        assert self.cluster.corejob is not None
        noted = "childId" in self.cluster.corejob.get("status", {})
        if self.cluster.children and not noted:
            return  # a crash between the child and its record, and another restart just then
        state = job.status.state
        killed = job.kill and state is not State.COMPLETE
        refused = state in {State.PENDING, State.RUNNING, State.COMPLETE} and not killed
        if refused or job.spec.get("remove") or noted:
            return
        # A deferred job may exceed its maximum time when it falls due just then.
        self.replaceable |= killed or state in STOPPED or state is State.DEFERRED
        self.cluster.corejob["spec"]["restartAt"] = self.cluster.text()

    @precondition(lambda self: self.cluster.corejob is not None)
    @rule()
    def user_deletes_corejob(self) -> None:
        self.asked = True
        self.cluster.delete_corejob()

    @precondition(lambda self: self.pending() or self.running())
    @rule()
    def somebody_deletes_pod(self) -> None:
        self.meddled = True
        self.cluster.vanish((self.pending() or self.running())[0])

    @precondition(lambda self: self.cluster.jobs)
    @rule()
    def somebody_deletes_job(self) -> None:
        self.meddled = True
        self.cluster.delete_job(next(iter(self.cluster.jobs)))

    # --- invariants -----------------------------------------------------------------------------

    @invariant()
    def it_does_not_come_back_into_the_queue(self) -> None:
        """A user who saw that the job had left may have enqueued an equal one."""
        job = self.cluster.job() if hasattr(self, "cluster") else None
        if job is not None:
            assert not (self.out and job.in_queue)
            self.out = not job.in_queue

    @invariant()
    def nobody_is_blamed_without_a_deletion(self) -> None:
        """The operator and the Job controller delete Jobs and pods as well."""
        job = self.cluster.job() if hasattr(self, "cluster") else None
        if job is not None and job.status.state is State.KILLED:
            assert self.meddled or job.status.reason not in {"JobDeleted", "PodDeleted"}

    @invariant()
    def what_the_journal_has_stays_so(self) -> None:
        job = self.cluster.job() if hasattr(self, "cluster") else None
        if job is not None and self.cluster.kept:
            assert self.cluster.told(job) == self.cluster.kept

    @invariant()
    def the_list_has_each_counted_trial(self) -> None:
        """Only the entry of a running trial is open, and it is the last one."""
        job = self.cluster.job() if hasattr(self, "cluster") else None
        if job is None:
            return
        entries, status = job.status.trials, job.status
        numbers = [entry["trial"] for entry in entries]
        assert numbers == sorted(numbers)
        assert set(numbers) == set(range(1, status.trial + 1))
        open_ones = [entry for entry in entries if "endTime" not in entry]
        assert open_ones == ([entries[-1]] if status.state is State.RUNNING else [])

    def settle(self) -> None:
        """Reconcile until there is nothing to do; fail if that never happens."""
        for _ in range(12):
            if not self.reconcile():
                return
        raise AssertionError("it never comes to rest")

    def teardown(self) -> None:
        if not hasattr(self, "cluster"):
            return
        cluster = self.cluster
        for _ in range(40):
            self.settle()
            self.deleted_pods_end_before_they_start()
            self.settle()
            if self.at_rest():
                break
            cluster.passes(30)
            for job in self.resumable():
                self.deleted_pods_vanish()
                cluster.resume(job)
            cluster.create_awaited_pods()
            for pod in self.pending()[:1]:
                cluster.start(pod)
            for pod in self.running()[:1]:
                cluster.end(pod, 0)
            self.deleted_pods_vanish()
            if cluster.corejob is not None:
                cluster.follow()
                cluster.journal()
        assert self.at_rest(), f"no end: {cluster.corejob}"
        self.check_outcome()

    def at_rest(self) -> bool:
        """True if the CoreJob is gone, or has stopped in the queue, and no Job is left."""
        job = self.cluster.job()
        if job is None:
            return True
        return job.in_queue and job.status.state in FINAL and not self.cluster.jobs

    def check_outcome(self) -> None:
        cluster = self.cluster
        assert cluster.began == sorted(set(cluster.began))
        assert len(cluster.children) <= 1
        # A failed job whose restart has started a trial is not restarted again when it has stopped.
        # If somebody deletes its Job in between, that kills the job, and the restart replaces it.
        assert not cluster.children or self.replaceable or self.meddled
        assert not cluster.lost
        final = [state for state in cluster.states if state in FINAL]
        assert len(final) <= 1
        if not self.asked and not self.meddled and final:
            self.check_exit(final[0])

    def check_exit(self, state: State) -> None:
        """Without requests or interference, the last exit code determines the outcome."""
        cluster = self.cluster
        code = cluster.exits[cluster.began[-1]]
        failures = sum(one == 1 for one in cluster.exits.values())
        if state is State.COMPLETE:
            assert code == 0
        elif state is State.ERROR:
            assert code == 78 or (code == 1 and failures == self.attempts)
        else:
            assert (state, code) == (State.INACTIVE, 75)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=250, stateful_step_count=25, deadline=None)
