"""Run one trial of one job in a pod and report it by docs/job-protocol.md.

`trial` runs the steps; `wire` writes the protocol's lines, `capture` reads what the job prints,
`relay` carries reports of forked children, `interrupt` handles SIGTERM, `loading` finds the job and
its class, `outcome` describes the result, `ending` ends the process.
"""
