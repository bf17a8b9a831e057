"""Server-sent-event streams (docs/rest.md): many followers of a job at the cost of one.

The `Hub` subscribes to the changes of CoreJobs and of the store. Each followed job has one `Feed`,
which reads new log records once for all followers. Each client has a `Follower`, which keeps the
client's position and reads records that the feed no longer buffers from the store, so a slow client
neither delays others nor uses more memory. A `Summary` streams the counts of the whole queue.
"""
