"""Runs one trial of one job in a pod and says what happened, by docs/job-protocol.md.

`trial` is the story; `wire` writes the protocol's lines, `capture` takes what the job prints,
`relay` carries what forked children report, `interrupt` handles SIGTERM, `loading` finds the
job and its class, `outcome` names the result, `ending` ends the process.
"""
