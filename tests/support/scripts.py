"""Parts of the Python scripts that tests run in containers."""

from typing import Final

DRAINED: Final = """
import array, fcntl, sys, termios, time
sys.stdout.flush()
left = array.array("i", [1])
while left[0]:
    fcntl.ioctl(1, termios.FIONREAD, left)
    time.sleep(0.01)
"""
"""Last lines of a script whose whole output a test expects: wait until the pipe is empty.

On a busy node the container runtime may drop data that is still in the pipe when the container
ends; then `kubectl logs` lacks it as well (docs/journal.md).
"""
