"""Write ended jobs and the queue's counts into the store."""
