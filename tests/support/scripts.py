"""Parts of the Python and shell scripts that tests run in containers."""

from typing import Final

DRAINED: Final = """
import array, fcntl, sys, termios, time
sys.stdout.flush()
for stream in (1, 2):
    left = array.array("i", [1])
    while left[0]:
        fcntl.ioctl(stream, termios.FIONREAD, left)
        time.sleep(0.01)
time.sleep(0.2)
"""
"""Last lines of a script whose whole output a test expects: wait until both pipes are empty.

On a busy node the container runtime may drop data that it has not read when the container ends;
then `kubectl logs` lacks it as well (docs/journal.md). It reads from a second pipe, which is not
visible here, so give it some more time.
"""

SHELL_DRAINED: Final = f"""
drained() {{ python3 -c '{DRAINED}'; }}
trap drained EXIT
"""
"""First lines of a shell script whose whole output a test expects: it ends like `DRAINED`.

Its exit code stays. A script that closes a stream calls `drained` before that.
"""
