"""`core4-recorder`: follows the pods' logs and writes them, and past jobs, into the store.

One pod's way: `supervisor` sees it and starts a `follower`, which reads chunks, `lines` splits
them, `protocol` parses them, `intake` decides what is new, `commits` stores it, `status` tells the
CoreJob. `keeper` takes ended jobs into the journal, `census` counts those in the queue.
`docs/journal.md` argues why nothing is lost.
"""
