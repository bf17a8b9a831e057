"""The command `core4 templates`."""

from __future__ import annotations

import sys

from core4.catalogue import discovery, manifest, yaml
from core4.runner.loading import use_working_directory


def run(packages: list[str], *, image: str | None, namespace: str | None) -> int:
    """Print the manifests of all jobs in the packages; errors go to standard error.

    Args:
        packages: Names of packages or modules.
        image: Image of the job's container; None leaves it to the installation.
        namespace: Namespace of the manifests; None leaves it out.

    Returns:
        The exit code: 1 if there is no job, a module can't be imported, or a job is invalid.
    """
    use_working_directory()
    found = discovery.find(packages)
    errors = list(found.errors)
    names: dict[str, str] = {}
    for job_class in found.jobs:
        qual_name = job_class.qual_name()
        problems = manifest.problems(job_class)
        other = names.setdefault(manifest.resource_name(qual_name), qual_name)
        if other != qual_name:
            problems.append(f"its resource would have the name of [{other}]'s")
        if problems:
            errors += [f"{qual_name}: {problem}" for problem in problems]
            continue
        document = manifest.template(job_class, image=image, namespace=namespace)
        sys.stdout.write(yaml.document(document))
    if not found.jobs and not errors:
        errors.append(f"no job found in {' '.join(packages)}")
    for note in found.notes:
        print(f"note: {note}", file=sys.stderr)
    for error in errors:
        print(f"error: {error}", file=sys.stderr)
    return 1 if errors else 0
