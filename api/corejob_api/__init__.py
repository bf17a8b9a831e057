"""The REST API: thin Falcon resources over a cache of CoreJobs and the journal's store.

`app.create_app` puts it together; `docs/rest.md` is what its clients see.
"""
