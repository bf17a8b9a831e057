"""`core4-recorder`: follows the logs of pods and writes them, and past jobs, into the store.

The path of a log: `supervisor` starts a `follower` for a pod, the follower reads chunks, `lines`
splits them, `protocol` parses the lines, `intake` decides which are new, `commits` stores them, and
`status` writes the log's state into the CoreJob. `keeper` archives ended jobs, `census` counts the
jobs in the queue. `docs/journal.md` explains why nothing is lost.
"""
