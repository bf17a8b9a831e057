"""The chart as rendered by helm. Needs helm: CORE4_HELM, or the one that `make test` builds."""

import json
import subprocess
import sys
from typing import Any

import pytest
from charts import generate
from tests.unit.charts import kube_stub

from corejob.names import LABEL_COREJOB

pytestmark = pytest.mark.cluster

CHART = generate.CHART
CI_FILES = sorted((CHART / "ci").glob("*-values.yaml"))
MAXIMAL = generate.load(CHART / "ci" / "maximal-values.yaml")


@pytest.mark.parametrize("path", [CHART / "values.yaml", *CI_FILES], ids=lambda path: path.stem)
def test_lint(helm, path):
    helm.run("lint", "--strict", str(CHART), f"--values={path}")


@pytest.mark.parametrize("values", [{}, MAXIMAL], ids=["default", "maximal"])
def test_every_pod_is_hardened(helm, values):
    pods = helm.render(values).pods()
    assert pods
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"}.intersection(pod)
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]
            assert container["resources"]["requests"]


def test_service_containers_are_probed_on_their_ports(helm):
    ports: dict[str, Any] = {}
    for deployment in helm.render().kind("Deployment"):
        assert deployment["spec"]["replicas"] == 1
        # Two recorders must not share one volume; two operators elect a leader by a Lease.
        recreate = deployment["metadata"]["name"].endswith("-api")
        assert deployment["spec"].get("strategy") == ({"type": "Recreate"} if recreate else None)
        for container in deployment["spec"]["template"]["spec"]["containers"]:
            ports_by_name = {port["name"]: port["containerPort"] for port in container["ports"]}
            ports |= ports_by_name
            env = {entry["name"]: entry.get("value") for entry in container["env"]}
            own = {"http": env["CORE4_PORT"], "health": env.get("CORE4_HEALTH_PORT")}
            if container["name"] != "api":
                own = {container["name"]: env["CORE4_PORT"]}
            assert own == {name: str(port) for name, port in ports_by_name.items()}
            probed = "health" if container["name"] == "api" else container["name"]
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                assert container[probe]["httpGet"]["port"] == probed
    assert ports == {"http": 5001, "recorder": 5002, "operator": 5003, "health": 5004}


def test_health_and_metrics_of_the_api_have_a_service_within_the_cluster(helm):
    for values in ({}, {"service": {"type": "LoadBalancer"}}):
        manifests = helm.render(values)
        spec = manifests.one("Service", "core4-api-health")["spec"]
        assert spec["ports"] == [{"name": "health", "port": 5004, "targetPort": "health"}]
        assert "type" not in spec
        public = manifests.one("Service", "core4-api")["spec"]
        assert [port["targetPort"] for port in public["ports"]] == ["http"]
        assert spec["selector"] == public["selector"]


def test_prometheus_finds_each_process_by_its_port(helm):
    manifests = helm.render({"metrics": {"serviceMonitor": {"enabled": True}}})
    endpoints = manifests.one("ServiceMonitor", "core4-metrics")["spec"]["endpoints"]
    ports = manifests.one("Service", "core4-metrics")["spec"]["ports"]
    names = [port["targetPort"] for port in ports]
    assert [endpoint["port"] for endpoint in endpoints] == names
    assert names == ["health", "recorder", "operator"]


def policies(manifests) -> dict[str, dict[str, Any]]:
    """Return the allowed peers of each port, by component."""
    return {
        policy["metadata"]["name"]: {
            port["port"]: rule.get("from")
            for rule in policy["spec"]["ingress"]
            for port in rule["ports"]
        }
        for policy in manifests.kind("NetworkPolicy")
    }


@pytest.mark.parametrize("store", [{}, {"existingSecret": "pg"}])
def test_jobs_reach_the_rest_api_only(helm, store):
    allowed = policies(helm.render({"store": store}))
    assert set(allowed) == {
        f"core4-{name}" for name in ("api", "operator", *(["recorder"] * bool(store)))
    }
    ports = {port: peers for policy in allowed.values() for port, peers in policy.items()}
    assert ports.pop("http") is None
    assert set(ports) == {"health", "recorder", "operator"}
    no_job = {"matchExpressions": [{"key": LABEL_COREJOB, "operator": "DoesNotExist"}]}
    for peers in ports.values():
        assert peers[0] == {"namespaceSelector": {}, "podSelector": no_job}


def test_the_network_policy_can_be_narrowed(helm):
    prometheus = {"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}
    proxy = {"podSelector": {"matchLabels": {"app": "proxy"}}}
    values = {"networkPolicy": {"metricsFrom": [prometheus], "from": [proxy]}}
    allowed = policies(helm.render(values))
    assert allowed["core4-operator"] == {"operator": [prometheus]}
    assert allowed["core4-api"]["http"] == [proxy]
    assert allowed["core4-api"]["recorder"] == [prometheus]
    # The pod of `helm test` may read it too.
    first, tester = allowed["core4-api"]["health"]
    assert first == prometheus
    pod = helm.render(None, "--show-only=templates/tests/ready.yaml").all[0]
    assert tester["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    everybody = policies(helm.render({"networkPolicy": {"metricsFrom": []}}))
    assert everybody["core4-api"] == {"http": None, "health": None, "recorder": None}
    assert policies(helm.render({"networkPolicy": {"enabled": False}})) == {}


def test_roles_hold_the_listed_rights_and_no_more(helm):
    rights = generate.load(generate.RIGHTS)
    bare = {
        who: [{key: rule[key] for key in ("apiGroups", "resources", "verbs")} for rule in rules]
        for who, rules in rights.items()
    }
    manifests = helm.render()
    roles = {role["metadata"]["name"]: role["rules"] for role in manifests.kind("Role")}
    assert roles == {
        f"core4-{who}": bare[who] for who in ("api", "recorder", "operator", "release")
    }
    cluster = {role["metadata"]["name"]: role["rules"] for role in manifests.kind("ClusterRole")}
    assert cluster == {f"jobs:core4:{who}": bare[who] for who in ("view", "edit")}
    assert manifests.kind("ClusterRoleBinding") == []
    assert helm.render({"rbac": {"aggregate": False}}).kind("ClusterRole") == []


def test_journal_volume(helm):
    def volume(values: dict[str, Any]) -> tuple[Any, int]:
        manifests = helm.render(values)
        spec = manifests.one("Deployment", "core4-api")["spec"]["template"]["spec"]
        journal = [volume for volume in spec["volumes"] if volume["name"] == "journal"]
        return journal, len(manifests.kind("PersistentVolumeClaim"))

    claim = {"name": "journal", "persistentVolumeClaim": {"claimName": "core4-journal"}}
    own = {"name": "journal", "persistentVolumeClaim": {"claimName": "mine"}}
    assert volume({}) == ([claim], 1)
    assert volume({"persistence": {"existingClaim": "mine"}}) == ([own], 0)
    assert volume({"persistence": {"enabled": False}}) == ([{"name": "journal", "emptyDir": {}}], 0)
    assert volume({"store": {"existingSecret": "pg"}}) == ([], 0)


def test_claim(helm):
    def claim(**persistence: Any) -> dict[str, Any]:
        manifests = helm.render({"persistence": persistence})
        return manifests.one("PersistentVolumeClaim", "core4-journal")

    kept = {"helm.sh/resource-policy": "keep"}
    assert claim()["metadata"]["annotations"] == kept
    assert "annotations" not in claim(keep=False)["metadata"]
    assert "storageClassName" not in claim()["spec"]
    assert claim(storageClass="-")["spec"]["storageClassName"] == ""
    assert claim(storageClass="fast", volumeName="pv")["spec"]["storageClassName"] == "fast"
    assert claim(volumeName="pv")["spec"]["volumeName"] == "pv"


def test_external_store_comes_from_its_secret(helm):
    manifests = helm.render({"store": {"existingSecret": "pg", "key": "dsn"}})
    for container in ("api", "recorder"):
        env = manifests.environment(f"core4-{container}", container)
        assert env["CORE4_STORE_URL"] == {"secretKeyRef": {"name": "pg", "key": "dsn"}}


def test_retention_reaches_the_recorder(helm):
    names = ("MAX_AGE_DAYS", "MAX_SIZE", "DRY_RUN")

    def environment(retention: dict[str, Any]) -> list[str]:
        env = helm.render({"retention": retention}).environment("core4-api", "recorder")
        return [env[f"CORE4_RETENTION_{name}"] for name in names]

    assert environment({}) == ["0", "", "false"]
    assert environment({"maxAgeDays": 36500, "maxSize": "7Gi"}) == ["36500", "7Gi", "false"]
    assert environment({"maxAgeDays": 0.5, "dryRun": True}) == ["0.5", "", "true"]
    for wrong in ({"maxSize": "7G"}, {"maxAgeDays": -1}, {"dryRun": "yes"}):
        with pytest.raises(RuntimeError, match="retention"):
            helm.render({"retention": wrong})


def test_with_postgresql_api_and_recorders_are_pods_of_their_own(helm):
    store = {"existingSecret": "pg"}
    manifests = helm.render({"store": store, "api": {"replicas": 2}, "recorder": {"replicas": 3}})
    replicas = {}
    for deployment in manifests.kind("Deployment"):
        spec = deployment["spec"]
        replicas[deployment["metadata"]["name"]] = spec["replicas"]
        # Written out, so that Helm 4 removes it again: it excludes Recreate.
        rolling = {"maxSurge": "25%", "maxUnavailable": "25%"}
        is_api = deployment["metadata"]["name"] == "core4-api"
        strategy = {"type": "RollingUpdate", "rollingUpdate": rolling} if is_api else None
        assert spec.get("strategy") == strategy
        (container,) = spec["template"]["spec"]["containers"]
        name = deployment["metadata"]["name"]
        assert (name, spec["template"]["spec"]["serviceAccountName"]) == (
            f"core4-{container['name']}",
            name,
        )
    assert replicas == {"core4-api": 2, "core4-recorder": 3, "core4-operator": 1}
    assert manifests.one("Service", "core4-api")["spec"]["publishNotReadyAddresses"] is False
    spec = manifests.one("Deployment", "core4-api")["spec"]["template"]["spec"]
    (api,) = spec["containers"]
    # Otherwise all pods would leave the Service when the store fails.
    assert api["readinessProbe"]["httpGet"]["path"] == "/readyz?without=store"


@pytest.mark.parametrize("store", [{}, {"existingSecret": "pg"}])
def test_every_process_gets_its_pod_and_namespace(helm, store):
    manifests = helm.render({"store": store})
    identities = {}
    for deployment in manifests.kind("Deployment"):
        name = deployment["metadata"]["name"]
        for container in deployment["spec"]["template"]["spec"]["containers"]:
            env = manifests.environment(name, container["name"])
            identities[container["name"]] = (env["CORE4_POD_NAME"], env["CORE4_NAMESPACE"])
    fields = [{"fieldRef": {"fieldPath": f"metadata.{field}"}} for field in ("name", "namespace")]
    assert identities == dict.fromkeys(("api", "operator", "recorder"), tuple(fields))


@pytest.mark.parametrize("component", ["api", "recorder"])
def test_sqlite_has_one_pod(helm, component):
    with pytest.raises(RuntimeError, match="above 1 need PostgreSQL"):
        helm.render({component: {"replicas": 2}})
    manifests = helm.render()
    assert manifests.one("Service", "core4-api")["spec"]["publishNotReadyAddresses"] is True


def test_the_account_of_the_recorder_has_its_role(helm):
    def account(values: dict[str, Any]) -> str:
        (subject,) = helm.render(values).one("RoleBinding", "core4-recorder")["subjects"]
        return str(subject["name"])

    assert account({}) == "core4-api"
    assert account({"store": {"existingSecret": "pg"}}) == "core4-recorder"


def test_admin_gets_a_generated_password(helm):
    secret = helm.render().secret()
    (admin,) = json.loads(secret["users.json"])
    assert admin["name"] == "admin"
    assert admin["role"] == ["admin"]
    assert len(admin["password"]) == 24
    assert admin["password"] == secret["admin-password"]
    assert len(secret["jwt-secret"]) == 64


def test_given_passwords_and_hashes_are_kept(helm):
    users = [{"name": "hans", "password": "x"}, {"name": "jim", "passwordHash": "$argon2id$h"}]
    manifests = helm.render({"auth": {"users": users}})
    assert manifests.users() == users
    assert set(manifests.secret()) == {"users.json", "jwt-secret"}


def test_a_user_may_not_be_listed_twice(helm):
    with pytest.raises(RuntimeError, match="hans is listed twice"):
        helm.render({"auth": {"users": [{"name": "hans"}, {"name": "hans"}]}})


def test_changed_users_roll_the_api(helm):
    def checksum(password: str) -> str:
        auth = {"jwtSecret": "0" * 32, "users": [{"name": "hans", "password": password}]}
        return helm.render({"auth": auth}).checksum()

    assert checksum("a") == checksum("a") != checksum("b")


def test_own_users_secret(helm):
    manifests = helm.render({"auth": {"existingSecret": "mine"}})
    assert manifests.kind("Secret") == []
    spec = manifests.one("Deployment", "core4-api")["spec"]["template"]["spec"]
    assert spec["volumes"][0]["secret"]["secretName"] == "mine"


def test_only_the_api_sees_the_users(helm):
    spec = helm.render().one("Deployment", "core4-api")["spec"]["template"]["spec"]
    mounts = {
        container["name"]: {mount["name"] for mount in container["volumeMounts"]}
        for container in spec["containers"]
    }
    assert mounts == {"api": {"users", "journal", "tmp"}, "recorder": {"journal", "tmp"}}


def test_operator_settings(helm):
    env = helm.render().environment("core4-operator", "operator")
    assert env.pop("CORE4_NAMESPACE") == {"fieldRef": {"fieldPath": "metadata.namespace"}}
    assert env.pop("CORE4_POD_NAME") == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert env == {
        "CORE4_HOST": "::",
        "CORE4_JOB_IMAGE": f"core4:{generate.version()}",
        "CORE4_JOB_IMAGE_PULL_POLICY": "IfNotPresent",
        "CORE4_JOURNAL_DEADLINE_SECONDS": "300",
        "CORE4_KILL_GRACE_SECONDS": "10",
        "CORE4_LOG_DEADLINE_SECONDS": "600",
        "CORE4_LOG_LEVEL": "INFO",
        "CORE4_MAX_PARALLEL": "15",
        "CORE4_NAMESPACE_LIMIT": "0",
        "CORE4_PORT": "5003",
        "CORE4_START_DEADLINE_SECONDS": "0",
        "CORE4_TTL_SECONDS": "600",
    }


def test_large_numbers_stay_numbers(helm):
    env = helm.render(MAXIMAL).environment("everything-api", "api")
    assert env["CORE4_QUEUE_LIMIT"] == "1000000"


def test_hook_runs_after_the_service_is_gone(helm):
    manifests = helm.render()
    job = manifests.one("Job", "core4-release")
    weights = {}
    for document in manifests.all:
        annotations = document["metadata"].get("annotations") or {}
        if annotations.get("helm.sh/hook") == "post-delete":
            weights[document["kind"]] = int(annotations["helm.sh/hook-weight"])
    assert set(weights) == {"ServiceAccount", "Role", "RoleBinding", "Job"}
    assert max(weights, key=weights.__getitem__) == "Job"
    assert job["spec"]["activeDeadlineSeconds"] == 120
    assert helm.render({"hooks": {"enabled": False}}).kind("Job") == []


def test_test_pod_finds_the_service_by_its_variables(helm):
    pod = helm.render(None, "--show-only=templates/tests/ready.yaml", release="my-core4").all[0]
    assert "MY_CORE4_API_HEALTH_SERVICE_" in pod["spec"]["containers"][0]["command"][-1]


def test_test_pod_prints_why_the_service_is_not_ready(helm):
    pod = helm.render(None, "--show-only=templates/tests/ready.yaml").all[0]
    command = [sys.executable, *pod["spec"]["containers"][0]["command"][1:]]
    states = {"/readyz": (503, b"the store is full")}
    with kube_stub.answering(lambda path: states[path]) as port:
        prefix = "CORE4_API_HEALTH_SERVICE"
        env = {f"{prefix}_HOST": "127.0.0.1", f"{prefix}_PORT": str(port)}

        def tested() -> tuple[int, str, str]:
            ended = subprocess.run(
                command, env=env, capture_output=True, text=True, timeout=60, check=False
            )
            return ended.returncode, ended.stdout, ended.stderr

        assert tested() == (1, "/readyz: 503 the store is full\n", "")
        states["/readyz"] = (200, b"ok")
        assert tested() == (0, "/readyz: 200 ok\n", "")


def test_each_pod_has_resources_that_fit_the_quotas_of_the_namespace(helm):
    def given(resources: dict[str, Any] | None) -> dict[str, Any]:
        values = {name: {"resources": resources} for name in ("api", "recorder", "operator")}
        return {
            container["name"]: container["resources"]
            for pod in helm.render(values).pods()
            for container in pod["containers"]
        }

    names = ("api", "recorder", "operator", "release", "ready")
    assert given(None) == dict.fromkeys(names)
    limited = given({"limits": {"cpu": "2"}})
    assert {name: resources["limits"]["cpu"] for name, resources in limited.items()} == (
        dict.fromkeys(names, "2")
    )


@pytest.mark.parametrize(
    ("release", "values", "prefix"),
    [
        ("core4", {}, "core4"),
        ("my-core4", {}, "my-core4"),
        ("jobs", {}, "jobs-core4"),
        ("jobs", {"fullnameOverride": "x"}, "x"),
    ],
)
def test_names(helm, release, values, prefix):
    names = {
        service["metadata"]["name"]
        for service in helm.render(values, release=release).kind("Service")
    }
    assert names == {f"{prefix}-api", f"{prefix}-api-health"}


def test_optional_resources(helm):
    kinds = {"Ingress", "ServiceMonitor"}
    assert kinds.isdisjoint(document["kind"] for document in helm.render().all)
    manifests = helm.render(MAXIMAL)
    assert kinds <= {document["kind"] for document in manifests.all}
    rules = manifests.one("Ingress", "everything-api")["spec"]["rules"]
    assert [rule["host"] for rule in rules] == ["a.example", "b.example"]
    selector = manifests.one("Service", "everything-metrics")["spec"]["selector"]
    assert "app.kubernetes.io/component" not in selector


def test_ids_can_be_left_to_the_cluster(helm):
    ids = dict.fromkeys(("runAsUser", "runAsGroup", "fsGroup"))
    for pod in helm.render({"podSecurity": ids}).pods():
        assert set(pod["securityContext"]) == {"runAsNonRoot", "seccompProfile"}


def test_notes_warn_of_a_journal_that_dies_with_its_pod(helm):
    def notes(*options: str) -> str:
        return helm.run("install", "core4", str(CHART), "--dry-run=client", *options)

    assert "WARNING" not in notes()
    assert "WARNING: persistence.enabled is false" in notes("--set=persistence.enabled=false")
    assert "generated password" in notes()


@pytest.mark.parametrize(
    ("options", "url"),
    [
        ([], "http://localhost:5001/core4/api/v1"),
        (
            ["--set=service.type=NodePort", "--set=service.nodePort=30123"],
            "http://<any node>:30123/core4/api/v1",
        ),
        (
            ["--set=ingress.enabled=true", "--set=ingress.hosts={a.example,b.example}"],
            "http://a.example/core4/api/v1",
        ),
        (
            [
                "--set=ingress.enabled=true",
                "--set=ingress.hosts={a.example}",
                "--set=ingress.tls[0].secretName=a",
            ],
            "https://a.example/core4/api/v1",
        ),
        *(
            (
                [
                    "--set=ingress.enabled=true",
                    "--set=ingress.hosts={a.example}",
                    f"--set=ingress.path={path}",
                ],
                f"http://a.example{shown}",
            )
            for path, shown in (
                ("/", "/core4/api/v1"),
                ("/core4/", "/core4/api/v1"),
                ("/core", "/core"),
                ("/jobs/", "/jobs"),
            )
        ),
    ],
)
def test_the_notes_run_a_job_at_the_url_at_which_the_api_is_reached(helm, options, url):
    options = [*options, "--set=examples.enabled=true"]
    notes = helm.run("install", "core4", str(CHART), "--dry-run=client", *options)
    notes = notes.split("\nNOTES:\n")[1]

    assert f" {url}\n" in notes
    assert f" '{url}/job' " in notes
    assert notes.count("/job' ") == 1


def test_the_address_to_listen_at_and_the_families_of_the_service(helm):
    def hosts(manifests):
        return {
            container["name"]: next(
                entry["value"] for entry in container["env"] if entry["name"] == "CORE4_HOST"
            )
            for deployment in manifests.kind("Deployment")
            for container in deployment["spec"]["template"]["spec"]["containers"]
        }

    plain = helm.render()
    assert hosts(plain) == dict.fromkeys(("api", "recorder", "operator"), "::")
    service = plain.one("Service", "core4-api")["spec"]
    assert {"ipFamilyPolicy", "ipFamilies"}.isdisjoint(service)
    families = {"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6", "IPv4"]}
    chosen = helm.render({"listenAddress": "0.0.0.0", "service": families})
    assert set(hosts(chosen).values()) == {"0.0.0.0"}
    service = chosen.one("Service", "core4-api")["spec"]
    assert {name: service[name] for name in families} == families
    for bad in ({"listenAddress": "localhost"}, {"service": {"ipFamilies": ["IPv5"]}}):
        with pytest.raises(RuntimeError, match=r"listenAddress|ipFamilies"):
            helm.render(bad)
