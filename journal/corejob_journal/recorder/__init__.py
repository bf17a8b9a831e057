"""`core4-recorder`: follows the logs of pods and writes them, and past jobs, into the store.

The path of a log, all but the last two in `ingest/`: `supervisor` starts a `log_follower` for a
pod, which reads chunks (`reading`); `lines` splits them, `protocol` parses the lines, `log_ingest`
decides which are new, `group_commit` stores them, and `publish/` writes the log's state into the
CoreJob. `archive/` stores ended jobs and the queue's counts, `retention/` deletes old ones.
`docs/journal.md` explains why nothing is lost.
"""
