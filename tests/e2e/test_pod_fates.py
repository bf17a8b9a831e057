"""All ways in which a pod can end or hang: the job reports them in the words of Kubernetes.

The cause decides: the job's own failures use an attempt, the cluster's don't, and a job that has
not started waits. Deaths of pods that ran are in test_deaths.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.e2e.manifests import template
from tests.support import corejobs
from tests.support.kubectl import Kubectl, polled
from tests.support.rest import Rest
from tests.support.scripts import SHELL_DRAINED
from tests.support.sse import WAIT_SECONDS
from tests.support.waiting import until
from tests.support.watch import watched

pytestmark = pytest.mark.cluster

NAME = "e2e.fates."
ATTEMPTS = {"attempts": 2, "error_time": 1}
TOLD = '{"state": "failed", "lastError": {"exception": "told(1)", "traceback": ["a\\n"]}}'


class Fates:
    """Creates jobs from pods."""

    def __init__(self, rest: Rest, kubectl: Kubectl, image: str) -> None:
        self.rest, self.kubectl, self.image = rest, kubectl, image

    def shell(self, script: str, *, name: str = "job", **more: Any) -> dict[str, Any]:
        """Return a container that runs a script."""
        container = {"name": name, "image": self.image, "command": ["sh", "-c", script]}
        return {**container, "imagePullPolicy": "Never", **more}

    def start(self, name: str, *containers: dict[str, Any], args: Any = None, **pod: Any) -> str:
        """Enqueue a job whose pod has these containers; return its id."""
        qual_name = f"{NAME}{name}"
        spec = {"containers": list(containers), "terminationGracePeriodSeconds": 1, **pod}
        self.kubectl.apply(template(qual_name, runtime="container", pod=spec))
        self.rest.wait_listed(qual_name)
        return self.rest.enqueue(qual_name, **(ATTEMPTS if args is None else args))

    def fails(self, job_id: str, reason: str) -> dict[str, Any]:
        """Return the document of a job that has used all attempts, each with the same failure."""
        document = self.rest.wait_state(job_id, "error", seconds=2 * WAIT_SECONDS)
        assert (document["reason"], document["attempts_left"]) == (reason, 0)
        assert document["trial"] == 2
        assert document["last_error"]["exception"] == document["message"]
        return document

    def waits(self, job_id: str, reason: str) -> dict[str, Any]:
        """Return the document of a job that waits for this reason."""
        document = self.rest.wait(
            job_id, lambda row: row["reason"] == reason, what=f"waits: {reason}"
        )
        assert (document["state"], document["trial"]) == ("pending", 0)
        event = corejobs.wait_event(self.kubectl, job_id, reason, "pending")
        assert event["type"] == "Warning"
        return document

    def messages(self, job_id: str) -> list[str]:
        """Return the messages of its log."""
        return [record["message"] for record in self.rest.whole_log(job_id)]


@pytest.fixture
def fates(rest: Rest, kubectl: Kubectl, image: str) -> Fates:
    return Fates(rest, kubectl, image)


@pytest.fixture(scope="module", autouse=True)
def overfull(rest: Rest, kubectl: Kubectl, image: str) -> Iterator[str]:
    """A job that fills its emptyDir: the kubelet measures volumes about once a minute."""
    fates = Fates(rest, kubectl, image)
    mount: dict[str, Any] = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    volume = {"name": "data", "emptyDir": {"sizeLimit": "1Mi"}}
    fill = fates.shell("head -c 20000000 /dev/zero > /data/x; exec sleep 600", **mount)
    yield fates.start("EmptyDir", fill, args={"attempts": 1}, volumes=[volume])
    rest.empty_queue()


@pytest.fixture(autouse=True)
def emptied(rest: Rest, overfull: str) -> Iterator[None]:
    """Override the fixture: keep the job that waits for the kubelet."""
    yield
    rest.empty_queue(but=overfull)


# --- the job's own fault --------------------------------------------------------------------


def test_an_init_container_fails(fates: Fates):
    script = SHELL_DRAINED + "echo preparing; sleep 1; echo no database; exit 3"
    init = fates.shell(script, name="prepare")
    job_id = fates.start("Init", fates.shell("echo never"), initContainers=[init])
    document = fates.fails(job_id, "InitContainerFailed")
    words = "init container [prepare] ended with exit code 3: "
    assert document["message"].startswith(words)
    assert "no database" in document["message"]
    assert (document["started_at"], document["runtime"]) == (None, 0)
    seen = until(
        lambda: fates.messages(job_id),
        lambda texts: texts.count("no database") == 2,
        what="the output of both init containers is in the log",
    )
    assert seen.count("preparing") == 2
    assert "never" not in seen


def test_the_first_of_two_containers_is_the_job(fates: Fates):
    first = fates.shell("echo mine; sleep 1; exit 3", name="zeta")
    other = fates.shell("echo other; sleep 2; exit 0", name="alpha")
    job_id = fates.start("Two", first, other)
    document = fates.fails(job_id, "CodeError")
    assert document["message"] == "the container ended with exit code 3: mine"
    assert "mine" in fates.messages(job_id)
    assert "other" not in fates.messages(job_id)


def first_container(kubectl: Kubectl, labels: dict[str, str], container: dict[str, Any]) -> str:
    """Return the name of the first container that a pod with these labels would have."""
    spec = {"containers": [container]}
    meta = {"name": "probe", "labels": labels}
    pod = json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
    made = kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", stdin=pod)
    name: str = json.loads(made)["spec"]["containers"][0]["name"]
    return name


def test_a_webhook_puts_its_container_before_the_job(fates: Fates, kubectl: Kubectl):
    """As a service mesh does it; here a policy of the API server inserts the container."""
    where, labels = kubectl.namespace, {"inject": "yes"}
    own = fates.shell(SHELL_DRAINED + "echo mine; exit 4", name="main")
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": where},
        "spec": {
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE"],
                        "resources": ["pods"],
                    }
                ],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": where}},
                "objectSelector": {"matchLabels": labels},
            },
            "mutations": [
                {
                    "patchType": "JSONPatch",
                    "jsonPatch": {
                        "expression": "[JSONPatch{op: 'add', path: '/spec/containers/0', value: "
                        "Object.spec.containers{name: 'aproxy', imagePullPolicy: 'Never', "
                        f"image: '{fates.image}', command: ['true']}}}}]"
                    },
                }
            ],
            "reinvocationPolicy": "Never",
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": where},
        "spec": {"policyName": where},
    }
    kubectl.apply(policy, binding)
    try:
        qual_name = f"{NAME}Injected"
        job = template(qual_name, runtime="container", pod={"containers": [own]})
        job["spec"]["template"]["metadata"] = {"labels": labels}
        kubectl.apply(job)
        fates.rest.wait_listed(qual_name)
        # A new policy takes effect after a moment.
        polled(
            lambda: first_container(kubectl, labels, own),
            lambda name: name == "aproxy",
            what="the policy puts its container first",
        )
        with watched(kubectl, "pods", ".metadata.name", ".spec.containers[*].name") as watch:
            # The pods of the service show that the watch has begun. The job's own may soon be gone.
            until(watch.rows, what="pods are seen")
            job_id = fates.rest.enqueue(qual_name, attempts=1)
            document = fates.rest.wait_state(job_id, "error")
            rows = until(
                lambda: [row for row in watch.rows() if row[0].startswith(job_id)],
                what="the pod of the job is seen",
            )
        assert {names.split()[0] for _, names in rows} == {"aproxy"}
        assert document["message"] == "the container ended with exit code 4: mine"
        assert fates.messages(job_id) == ["mine"]
    finally:
        kubectl("delete", "mutatingadmissionpolicybinding,mutatingadmissionpolicy", where)


def test_a_command_that_is_not_there(fates: Fates):
    job_id = fates.start("NoCommand", {**fates.shell(""), "command": ["/no/such/program"]})
    document = fates.fails(job_id, "StartError")
    assert "/no/such/program" in document["message"]
    assert "no such file or directory" in document["message"]
    assert (document["started_at"], document["runtime"]) == (None, 0)
    assert document["inactive_at"] is None


def test_a_plain_termination_message(fates: Fates):
    job_id = fates.start("Words", fates.shell("echo 'no disk' > /dev/termination-log; exit 5"))
    document = fates.fails(job_id, "CodeError")
    assert document["message"] == "the container ended with exit code 5: no disk"


def test_a_child_of_the_job_is_out_of_memory(fates: Fates):
    """The outcome that the job itself reported counts, with a note."""
    hog = "python3 -c 'x = bytearray(300 * 2**20)'"
    script = f'{hog}; printf %s "$TOLD" > /dev/termination-log; exit 1'
    limits = {"limits": {"memory": "64Mi"}}
    env = [{"name": "TOLD", "value": TOLD}]
    job_id = fates.start("Child", fates.shell(script, resources=limits, env=env))
    document = fates.rest.wait_state(job_id, "error")
    assert (document["reason"], document["last_error"]["exception"]) == ("CodeError", "told(1)")
    # A runtime under load may miss the event.
    assert document["message"].startswith("told(1)")


def test_more_than_its_ephemeral_storage(fates: Fates):
    script = "head -c 30000000 /dev/zero > /tmp/x; exec sleep 600"
    limits = {"limits": {"ephemeral-storage": "5Mi"}}
    job_id = fates.start("Ephemeral", fates.shell(script, resources=limits), args={"attempts": 1})
    document = fates.rest.wait_state(job_id, "error", seconds=360)
    assert document["reason"] == "DiskLimit"
    assert "exceeds the total limit of containers 5Mi" in document["message"]


def test_a_typo_in_the_template(fates: Fates):
    job_id = fates.start("Typo", fates.shell("true", resorces={"limits": {"memory": "1Gi"}}))
    document = fates.rest.wait_state(job_id, "error")
    assert (document["reason"], document["attempts_left"]) == ("BadDefinition", 2)
    assert 'unknown field "spec.template.spec.containers[0].resorces"' in document["message"]


# --- not started yet ------------------------------------------------------------------------


def test_an_init_container_can_not_pull_its_image(fates: Fates):
    init = fates.shell("true", name="prepare") | {"image": "localhost/no-such-image:1"}
    job_id = fates.start("InitPull", fates.shell("true"), initContainers=[init])
    document = fates.waits(job_id, "ImagePull")
    assert document["message"].startswith("container [prepare]: ErrImageNeverPull: ")


def test_a_native_sidecar_that_can_not_run(fates: Fates):
    probe = {"exec": {"command": ["false"]}, "periodSeconds": 1}
    side = fates.shell("exit 4", name="side", restartPolicy="Always", startupProbe=probe)
    job_id = fates.start("Sidecar", fates.shell("true"), initContainers=[side])
    document = fates.waits(job_id, "ContainerError")
    assert document["message"].startswith("container [side]: CrashLoopBackOff: ")


def test_no_pod_can_be_made(fates: Fates):
    job_id = fates.start("NoAccount", fates.shell("true"), serviceAccountName="nobody")
    document = fates.waits(job_id, "FailedCreate")
    assert 'serviceaccount "nobody" not found' in document["message"]
    fates.rest.kill(job_id)
    assert fates.rest.wait_state(job_id, "killed")["trial"] == 0


def test_a_volume_that_is_missing(fates: Fates):
    mount: dict[str, Any] = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    volume = {"name": "data", "secret": {"secretName": "missing"}}
    job_id = fates.start("Volume", fates.shell("true", **mount), volumes=[volume])
    document = fates.waits(job_id, "FailedMount")
    assert 'secret "missing" not found' in document["message"]
    # The job starts when the secret exists.
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "missing"}}
    fates.kubectl.apply(secret)
    try:
        assert fates.rest.wait_state(job_id, "complete", seconds=360)["trial"] == 1
    finally:
        fates.kubectl("delete", "secret", "missing")


def test_a_secret_of_its_environment_that_is_missing(fates: Fates):
    env = [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "missing", "key": "a"}}}]
    job_id = fates.start("Env", fates.shell("true", env=env))
    document = fates.waits(job_id, "ContainerError")
    assert document["message"].startswith("CreateContainerConfigError: ")
    assert 'secret "missing" not found' in document["message"]


@pytest.mark.parametrize(
    ("name", "words"),
    [("OutOfcpu", "OutOfcpu: Pod was rejected"), ("Sysctl", "SysctlForbidden: Pod was rejected")],
)
def test_the_kubelet_refuses_the_pod(fates: Fates, name: str, words: str):
    """The trial runs again with a growing delay, and uses no attempt."""
    node = fates.kubectl.items("pods", "-l", "app.kubernetes.io/name=core4")[0]["spec"]["nodeName"]
    pod: dict[str, Any] = {"nodeName": node}
    container = fates.shell("true")
    if name == "OutOfcpu":
        container["resources"] = {"requests": {"cpu": "5000"}}
    else:
        sysctl = {"name": "kernel.msgmax", "value": "65536"}
        pod = {"securityContext": {"sysctls": [sysctl]}}
    job_id = fates.start(name, container, **pod)
    document = fates.waits(job_id, "PodRejected")
    assert document["message"].startswith(words)
    fates.rest.wait(job_id, lambda row: row["query_at"], what="waits for its next run")
    status = corejobs.status(fates.kubectl, job_id)
    assert status["disruptions"] >= 2
    assert status["attemptsLeft"] == 2
    fates.rest.kill(job_id)
    assert fates.rest.wait_state(job_id, "killed")["trial"] == 0


# --- beside and within the pod --------------------------------------------------------------


def test_a_native_sidecar_beside_the_job(fates: Fates):
    side = fates.shell("sleep 1; exit 4", name="side", restartPolicy="Always")
    own = fates.shell(SHELL_DRAINED + "sleep 3; echo done")
    job_id = fates.start("Beside", own, initContainers=[side])
    assert fates.rest.wait_state(job_id, "complete")["trial"] == 1
    assert fates.messages(job_id) == ["done"]


def test_a_container_that_its_rules_restart(fates: Fates):
    """The end of the pod is the end of the trial."""
    script = (
        SHELL_DRAINED + "[ -e /data/x ] && echo again && exit 0; touch /data/x; sleep 1; exit 42"
    )
    rule = {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}
    rules: dict[str, Any] = {"restartPolicy": "Never", "restartPolicyRules": [rule]}
    mount: dict[str, Any] = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    volume = {"name": "data", "emptyDir": {}}
    job_id = fates.start("Rules", fates.shell(script, **rules, **mount), volumes=[volume])
    document = fates.rest.wait_state(job_id, "complete")
    assert (document["trial"], document["attempts_left"]) == (1, 2)
    assert "again" in fates.messages(job_id)


def test_a_job_that_is_suspended_and_resumed(fates: Fates, kubectl: Kubectl):
    """No attempt is used; the trial goes on in its Job when that is resumed."""
    job_id = fates.start("Suspended", fates.shell("echo here; exec sleep 600"))
    fates.rest.wait_state(job_id, "running")
    with fates.rest.follow(job_id) as stream:
        stream.line("here")
        for suspend, state in ((True, "pending"), (False, "running")):
            patch = json.dumps({"spec": {"suspend": suspend}})
            kubectl("patch", "job", f"{job_id}-1", "--type=merge", "--patch", patch)
            document = fates.rest.wait_state(job_id, state)
            assert (document["trial"], document["attempts_left"]) == (1, 2)
            assert document["reason"] == ("Suspended" if suspend else "Running")
        stream.wait(
            lambda frame: frame.event == "log" and stream.messages.count("here") == 2,
            what="both runs are in the log",
        )
        fates.rest.kill(job_id)
        stream.to_close()
    assert stream.states == ["running", "pending", "running", "killed"]
    assert fates.rest.detail(job_id)["reason"] == "Killed"


def test_a_good_end_after_an_eviction_is_complete(fates: Fates, kubectl: Kubectl):
    script = (
        SHELL_DRAINED + "trap 'echo finished; exit 0' TERM; echo here; while :; do sleep 0.1; done"
    )
    job_id = fates.start("Drain", fates.shell(script), terminationGracePeriodSeconds=30)
    with fates.rest.follow(job_id) as stream:
        stream.line("here")
        corejobs.evict(kubectl, corejobs.pod_name(kubectl, job_id))
        stream.state("complete")
        stream.to_close()
    assert stream.messages == ["here", "finished"]


def test_a_job_that_is_removed_while_it_starts_says_so(fates: Fates):
    job_id = fates.start("Removed", fates.shell("true"), nodeSelector={"e2e": "nowhere"})
    fates.waits(job_id, "Unschedulable")
    fates.rest.remove(job_id)
    document = until(
        lambda: fates.rest.detail(job_id), lambda row: row["removed_at"], what="its pod is stopped"
    )
    assert (document["state"], document["reason"], document["trial"]) == ("pending", "Removed", 0)
    assert document["message"] == "removed by the user while it waited"


# The last test: by now the kubelet has measured.
def test_more_than_its_empty_dir_may_hold(fates: Fates, overfull: str):
    document = fates.rest.wait_state(overfull, "error", seconds=360)
    assert (document["reason"], document["attempts_left"]) == ("DiskLimit", 0)
    assert 'Usage of EmptyDir volume "data" exceeds the limit "1Mi"' in document["message"]
