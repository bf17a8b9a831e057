"""The Kubernetes kinds that the service uses, and their URL paths."""

from dataclasses import dataclass
from typing import Final

from corejob import names


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object: `group_version` is `v1` for the core group, else `<group>/<version>`."""

    group_version: str
    plural: str

    @property
    def is_custom(self) -> bool:
        """True for a kind of our CRDs, whose objects have parts without a schema."""
        return self.group_version == names.API_VERSION

    def path(self, namespace: str | None = None, name: str | None = None, sub: str = "") -> str:
        """Return the URL path of a collection, an object, or a sub-resource of an object."""
        root = "/api/" if "/" not in self.group_version else "/apis/"
        path = root + self.group_version
        if namespace:
            path += f"/namespaces/{namespace}"
        path += f"/{self.plural}"
        if name:
            path += f"/{name}"
        return path + (f"/{sub}" if sub else "")


COREJOBS: Final = Resource(names.API_VERSION, names.PLURAL_JOB)
TEMPLATES: Final = Resource(names.API_VERSION, names.PLURAL_TEMPLATE)
JOBS: Final = Resource("batch/v1", "jobs")
PODS: Final = Resource("v1", "pods")
EVENTS: Final = Resource("events.k8s.io/v1", "events")
LEASES: Final = Resource("coordination.k8s.io/v1", "leases")
