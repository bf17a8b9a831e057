#!/bin/sh
# Make the environment of the locked packages small: what no process of ours can use goes.
set -eu
packages="$(echo "$1"/lib/python3.*/site-packages)"
cd "$packages"

# The classes of the Kubernetes client, 70 MB of sources: ours send and receive plain JSON. kopf imports three.
find kubernetes/client/api kubernetes/client/models kubernetes/aio/client/api kubernetes/aio/client/models -name '*.py' \
  ! -name __init__.py ! -name v1_object_meta.py ! -name v1_owner_reference.py ! -name v1_managed_fields_entry.py -delete

# Tests, test tools, and the sources of what is compiled.
find . -type d -name tests -prune -exec rm -r {} +
rm -r alembic/testing falcon/bench falcon/testing sqlalchemy/testing
# rich highlights sources and renders Markdown with these; our tables need neither.
rm -r pygments markdown_it mdurl rich/markdown.py rich/syntax.py rich/traceback.py
# Databases that the journal can't be in.
rm -r sqlalchemy/dialects/mssql sqlalchemy/dialects/mysql sqlalchemy/dialects/oracle
find . -type f \( -name '*.c' -o -name '*.h' -o -name '*.pxd' -o -name '*.pyi' -o -name '*.pyx' \) -delete

# Debug information, a half of all libraries. Those of *.libs/ have none, and are laid out in a way that strip may break.
find . -name '*.so' ! -path './*.libs/*' -exec strip --strip-debug {} +

# Bytecode in the place of the sources: nothing can be written where it runs, so that each start would compile them
# again, and both would take twice the space. By hash, and never checked: time stamps of layers don't matter.
"$1/bin/python3" -m compileall -q -b -j 0 --invalidation-mode unchecked-hash "$packages"
find . -name '*.py' -delete
