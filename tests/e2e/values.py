"""Helm values of the suite's releases, in addition to those of the demo."""

from typing import Any

# The name of each is also the password.
READER = "reader"
CLERK = "clerk"
GUEST = "guest"
JWT_SECRET = "the-key-of-the-tokens-of-the-suite-on-the-cluster"
TTL_SECONDS = 60
KILL_GRACE_SECONDS = 5

_EXAMPLES = "core4.queue.helper.job.example"

VALUES: dict[str, Any] = {
    "auth": {
        "jwtSecret": JWT_SECRET,
        "users": [
            {
                "name": "admin",
                "password": "hans",
                "realname": "Administrator",
                "email": "admin@example.com",
                "role": ["admin"],
            },
            {
                # May read everything by GET, but of jobs only the example job.
                "name": READER,
                "password": READER,
                "perm": ["api://.*/r", f"job://{_EXAMPLES}/r"],
            },
            {
                "name": CLERK,
                "password": CLERK,
                "perm": ["api://.*/crud", f"job://{_EXAMPLES}/x"],
            },
            {"name": GUEST, "password": GUEST},
        ],
    },
    # Past CoreJobs are deleted soon, so that tests meet existing and deleted ones, but not before a
    # test on a busy machine has looked at its own.
    "jobs": {"ttlSeconds": TTL_SECONDS, "killGraceSeconds": KILL_GRACE_SECONDS},
    # The Job of each uninstall has to start and end on a busy machine, too.
    "hooks": {"timeoutSeconds": 240},
    "persistence": {"keep": False},
    "rbac": {"aggregate": False},
}
