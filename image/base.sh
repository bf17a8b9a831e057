#!/bin/sh
# Make the base image ready: a user, bytecode of the standard library, and nothing that installs or is for a desktop.
set -eu
echo 'core4:x:10001:10001:core4:/tmp:/usr/sbin/nologin' >>/etc/passwd
echo 'core4:x:10001:' >>/etc/group

library="$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
cd "$library"
rm -rf ensurepip idlelib lib2to3 pydoc_data tkinter turtle.py turtledemo test config-*
# Of what is installed beside the standard library the environment in /opt/core4 sees nothing.
python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))' | xargs rm -rf
rm -rf /usr/local/include /usr/local/lib/pkgconfig
find /usr/local/bin -name "pip*" -o -name "wheel*" -o -name "idle*" -o -name "2to3*" -o -name "pydoc*" -o -name "python*-config" | xargs rm -f
# Copies: the time zones with leap seconds, and the package tool's questions.
rm -rf /usr/share/zoneinfo/right /usr/share/zoneinfo/posix /var/cache/debconf/*-old

# Slim images have no bytecode of it. The modules left out are large, and rare in jobs: they are compiled when they are
# imported.
python3 -c '
import compileall, py_compile, re, sys
folders = "(site|dist)-packages|distutils|unittest|xmlrpc"
codecs = "big5|cp|euc|gb|hz|iso2022|johab|koi8|mac|shift"
compileall.compile_dir(
    sys.argv[1],
    quiet=2,
    rx=re.compile(f"/({folders})/|/encodings/({codecs})"),
    invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
)' "$library"
