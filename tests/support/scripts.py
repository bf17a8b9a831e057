"""Pieces of the Python scripts that tests run in containers."""

from typing import Final

DRAINED: Final = """
import array, fcntl, sys, termios, time
sys.stdout.flush()
left = array.array("i", [1])
while left[0]:
    fcntl.ioctl(1, termios.FIONREAD, left)
    time.sleep(0.01)
"""
"""The last lines of a script whose whole output is expected: it waits until its pipe is empty.

What is still in the pipe when a container ends the container runtime may drop on a busy node; then
`kubectl logs` lacks it as well (docs/journal.md).
"""
