"""The commands of `core4` that talk to a server (docs/cli.md); they need the extra `cli`.

`app` is the group; `commands` lists the commands, each in a module that is imported when it is
called. A command uses `core4.client` only, and writes results to stdout, all else to stderr.
"""
