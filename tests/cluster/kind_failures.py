"""Advice about failures of kind, found by kind's error messages."""

import re

# Patterns of kind's or Docker's messages with advice for users; the first match counts.
_ADVICE = (
    (
        r"failed to pull image|manifest unknown|pull access denied|toomanyrequests",
        "The node's image {image} can't be pulled. Check the network, the proxy and the registry's"
        " limits, and try `docker pull {image}`. On a machine without a registry build the image"
        " and name it in CORE4_KIND_IMAGE: docs/kind.md.",
    ),
    (
        r"port is already allocated|address already in use|failed to get (port|free port)",
        "A port that the cluster needs is in use. End what listens there"
        " (`ss --listening --tcp --processes`), then run `make up` again.",
    ),
    (
        r"permission denied.*docker|dial unix .*docker",
        "The Docker engine refuses this user. Add the user to the group `docker`, or use root.",
    ),
    (
        r"[Cc]annot connect to the Docker daemon",
        "The Docker engine has ended meanwhile. Start it, then run `make up` again.",
    ),
    (
        r"no space left on device",
        "The disk is full. `docker system df` shows what Docker keeps, `docker system prune`"
        " deletes what nobody uses.",
    ),
    (
        r"too many open files|inotify",
        "The kernel's limits for inotify are used up: `sysctl fs.inotify.max_user_instances=512"
        " fs.inotify.max_user_watches=524288` raises them.",
    ),
    (
        r"could not find a log line|failed to init node|kubeadm init",
        "The node did not start. It needs some 2 GiB of memory, 10 GiB of disk, and an engine that"
        " allows privileged containers. `make down up` tries again.",
    ),
    (
        r"already exist for a cluster",
        "Another process has created it meanwhile. Run `make up` again.",
    ),
    (r"pytest-kind is missing", "Run `make venv`."),
)
_OTHERWISE = "`make down up` tries again; `make clean-all` begins from nothing."


def explained(output: str, image: str) -> str:
    """Return the error message about a failed creation, with advice.

    Args:
        output: the output of kind.
        image: the node's image.
    """
    fitting = (advice for pattern, advice in _ADVICE if re.search(pattern, output))
    advice = next(fitting, _OTHERWISE).format(image=image)
    return f"kind can't create the cluster. {advice}\n{output}"
