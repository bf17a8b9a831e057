"""Create the keys and certificates of the local cluster with the openssl program."""

from dataclasses import dataclass
from pathlib import Path

from tests.cluster.commands import run
from tests.cluster.layout import API_SERVICE_IP, NODE

_DAYS = "3650"
_CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """Name, subject and addresses of a certificate."""

    name: str
    subject: str
    addresses: tuple[str, ...] = ()


def identities(node_ip: str) -> list[CertificateRequest]:
    """Return the identities for which the components need certificates."""
    local = (f"DNS:{NODE}", "IP:127.0.0.1", f"IP:{node_ip}")
    service = tuple(
        f"DNS:kubernetes{suffix}"
        for suffix in ("", ".default", ".default.svc", ".default.svc.cluster.local")
    )
    return [
        CertificateRequest(
            "apiserver", "/CN=kube-apiserver", (*local, *service, f"IP:{API_SERVICE_IP}")
        ),
        CertificateRequest("admin", "/O=system:masters/CN=admin"),
        CertificateRequest("controller-manager", "/CN=system:kube-controller-manager"),
        CertificateRequest("scheduler", "/CN=system:kube-scheduler"),
        CertificateRequest("proxy", "/CN=system:kube-proxy"),
        CertificateRequest("node", f"/O=system:nodes/CN=system:node:{NODE}", local),
    ]


def make(folder: Path, node_ip: str) -> None:
    """Create missing files, and recreate certificates made for another address."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Write under another name first, so that an interrupted run leaves no partial file.
    if not (folder / "sa.key").exists():
        new = folder / "sa.key.new"
        _openssl("genpkey", "-algorithm", "RSA", "-out", str(new))
        new.rename(folder / "sa.key")
    if not (folder / "ca.crt").exists():
        new = folder / "ca.crt.new"
        key = ["-keyout", str(folder / "ca.key"), "-out", str(new)]
        _openssl("req", "-x509", *_CURVE, *key, "-days", _DAYS, "-subj", "/CN=core4-local-ca")
        new.rename(folder / "ca.crt")
    for identity in identities(node_ip):
        _sign(folder, identity)


def extensions(identity: CertificateRequest) -> str:
    """Return the certificate's extensions in openssl's format."""
    lines = ["extendedKeyUsage=serverAuth,clientAuth"]
    if identity.addresses:
        lines.append(f"subjectAltName={','.join(identity.addresses)}")
    return "\n".join(lines) + "\n"


def _sign(folder: Path, identity: CertificateRequest) -> None:
    def path(suffix: str) -> str:
        return str(folder / f"{identity.name}.{suffix}")

    wanted, made_for = extensions(identity), Path(path("ext"))
    if Path(path("crt")).exists() and made_for.exists() and made_for.read_text() == wanted:
        return
    Path(path("crt")).unlink(missing_ok=True)
    made_for.write_text(wanted, encoding="ascii")
    request = ["-keyout", path("key"), "-out", path("csr"), "-subj", identity.subject]
    _openssl("req", *_CURVE, *request)
    authority = ["-CA", str(folder / "ca.crt"), "-CAkey", str(folder / "ca.key"), "-CAcreateserial"]
    files = ["-in", path("csr"), "-out", path("crt.new"), "-extfile", path("ext")]
    _openssl("x509", "-req", *files, *authority, "-days", _DAYS)
    Path(path("crt.new")).rename(path("crt"))


def _openssl(*arguments: str) -> None:
    run(["openssl", *arguments])
