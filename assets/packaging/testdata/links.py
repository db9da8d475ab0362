"""links FILE... has every link of the pages in archives and wheels lead somewhere.

In an archive a link is to another of its files. An index of packages shows a wheel's long
description alone, so links there are to the project's page, which has the archives' files.
"""

import posixpath
import re
import sys
import tarfile
import zipfile

LINK = re.compile(r"\]\(([^)\s]+)\)|<img[^>]* src=\"([^\"]+)\"")


def links(text: str) -> list:
    plain = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.S)
    return [(a or b).partition("#")[0] for a, b in LINK.findall(plain)]


def files_of(name: str) -> dict:
    if name.endswith(".tar.gz"):
        with tarfile.open(name) as tar:
            return {m.name: tar.extractfile(m).read() for m in tar.getmembers() if m.isfile()}
    with zipfile.ZipFile(name) as z:
        return {n: z.read(n) for n in z.namelist() if not n.endswith("/")}


faults, known = [], set()
for name in sorted(sys.argv[1:], key=lambda n: n.endswith(".whl")):
    files, seen = files_of(name), 0
    if name.endswith(".whl"):
        text = next(files[n] for n in files if n.endswith("/METADATA")).decode()
        assert "\n\n# Langkeep\n" in text, name
        for link in links(text):
            path = re.fullmatch(r"https://[^/]+/blob/v[^/]+/([^?]+)(\?raw=true)?", link)
            seen += path is not None
            if path and path[1] not in known or not path and not link.startswith("https://"):
                faults.append(f"{name}: {link}")
    else:
        top = next(iter(files)).partition("/")[0]
        known |= {n.partition("/")[2] for n in files}
        for page in [n for n in files if n.endswith(".md")]:
            for link in links(files[page].decode()):
                if link and not re.match("https?:|mailto:", link):
                    seen += 1
                    if posixpath.normpath(posixpath.join(posixpath.dirname(page), link)) not in files:
                        faults.append(f"{name}: {page.removeprefix(top + '/')} leads to {link}")
    assert seen > 5, f"{name}: {seen} links"
sys.exit("\n".join(faults) or None)
