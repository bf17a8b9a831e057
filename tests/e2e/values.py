"""The values of the suite's releases, besides those of the demo."""

from typing import Any

# Each has its name as its password.
READER = "reader"
CLERK = "clerk"
GUEST = "guest"
JWT_SECRET = "the-key-of-the-tokens-of-the-suite-on-the-cluster"
TTL_SECONDS = 30
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
                # May look at everything by GET, and read the example job only.
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
    # Past CoreJobs go soon, so that tests meet both: those that are there, and those that are gone.
    "jobs": {"ttlSeconds": TTL_SECONDS, "killGraceSeconds": KILL_GRACE_SECONDS},
    "persistence": {"keep": False},
    "rbac": {"aggregate": False},
}
