"""apk FILE looks at a package as Alpine's apk does, which no Debian has.

It has three gzip streams in a row: what signs it, which is left out here, .PKGINFO, and the
files. .PKGINFO has the files' checksum, and each file has its own.
"""

import hashlib
import io
import sys
import tarfile
import zlib

rest = open(sys.argv[1], "rb").read()
streams = []
while rest:
    inflate = zlib.decompressobj(31)
    text = inflate.decompress(rest)
    streams.append((rest[: len(rest) - len(inflate.unused_data)], text))
    rest = inflate.unused_data
assert len(streams) == 2, len(streams)
# The first one has no end of an archive, since the second goes on with it.
control = tarfile.open(fileobj=io.BytesIO(streams[0][1] + bytes(1024)))
info = {}
for line in control.extractfile(".PKGINFO").read().decode().splitlines():
    name, equals, value = line.partition(" = ")
    if equals:
        info.setdefault(name, []).append(value)
assert info["pkgname"] == ["langkeep"] and info["license"] == ["MIT"], info
assert info["datahash"] == [hashlib.sha256(streams[1][0]).hexdigest()], info
assert info["arch"][0] in sys.argv[1], info
files = tarfile.open(fileobj=io.BytesIO(streams[1][1]))
found = set()
for member in files:
    assert member.uid == member.gid == 0 and not member.name.startswith("/"), member.name
    if member.isfile():
        assert member.pax_headers["APK-TOOLS.checksum.SHA1"] == hashlib.sha1(files.extractfile(member).read()).hexdigest(), member.name
    found.add(member.name)
assert {"usr/bin/langkeep", "usr/share/langkeep/installed-as", "usr/share/man/man1/langkeep.1.gz"} <= found, found
assert files.extractfile("usr/share/langkeep/installed-as").read() == b"apk\n"
