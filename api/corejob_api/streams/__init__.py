"""Event streams (contract section 3): any number of followers of a job, at the cost of one.

One `Hub` hears of every change, of CoreJobs and of the store. For each job that is followed there
is one `Feed`, which reads new log records once for all. Each client has a `Follower`, which knows
how far its client has come: what it can't get from the feed any more it reads from the store, so a
slow one never holds up others, nor grows. A `Summary` streams the counts of the whole queue.
"""
