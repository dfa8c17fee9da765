#!/usr/bin/env python3
"""What a build of the program holds, as SPDX 2.3: what is linked statically, and the Debian packages it loads.

    scripts/sbom.py PROGRAM VERSION
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def macro(file: Path, name: str) -> str:
    found = re.search(rf'#define\s+{name}\s+"?([0-9.]+)', file.read_text(encoding="utf-8"))
    if found is None:
        raise SystemExit(f"sbom: {file} does not define {name}")
    return found.group(1)


def package(name: str, version: str, licence: str, origin: str) -> dict[str, Any]:
    return {
        "SPDXID": "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", name),
        "name": name,
        "versionInfo": version,
        "licenseDeclared": licence,
        "downloadLocation": origin,
        "filesAnalyzed": False,
    }


def static_packages() -> list[dict[str, Any]]:
    sources = Path(said(str(ROOT / "scripts/fetch_llama.sh")))
    fetch = (ROOT / "scripts/fetch_llama.sh").read_text(encoding="utf-8")
    pinned = re.search(r"^package=(\S+)\nsha256=(\S+)$", fetch, re.MULTILINE)
    if pinned is None:
        raise SystemExit("sbom: scripts/fetch_llama.sh pins nothing")
    llama = package("llama.cpp", f"as in {pinned.group(1)}, with patches/llama.cpp", "MIT", "https://github.com/ggml-org/llama.cpp")
    llama["checksums"] = [{"algorithm": "SHA256", "checksumValue": pinned.group(2)}]
    json_header = sources / "vendor/nlohmann/json.hpp"
    json_version = ".".join(macro(json_header, f"NLOHMANN_JSON_VERSION_{part}") for part in ("MAJOR", "MINOR", "PATCH"))
    httplib_version = macro(sources / "vendor/cpp-httplib/httplib.h", "CPPHTTPLIB_VERSION")
    return [
        llama,
        package("nlohmann-json", json_version, "MIT", "https://github.com/nlohmann/json"),
        package("cpp-httplib", httplib_version, "MIT", "https://github.com/yhirose/cpp-httplib"),
    ]


def loaded_packages(program: str) -> list[dict[str, Any]]:
    """Of the shared libraries that the program loads."""
    libraries = re.findall(r"=> (/\S+)", said("ldd", program))
    names: set[str] = set()
    for library in libraries:
        for path in {library, os.path.realpath(library), library.removeprefix("/usr"), os.path.realpath(library).removeprefix("/usr")}:
            done = subprocess.run(["dpkg-query", "-S", path], capture_output=True, text=True, check=False)
            if done.returncode == 0:
                names.add(done.stdout.split(":")[0])
                break
        else:
            raise SystemExit(f"sbom: no package holds {library}")
    return [package(name, said("dpkg-query", "-W", "-f", "${Version}", name), "NOASSERTION", "NOASSERTION") for name in sorted(names)]


def main() -> None:
    program, version = sys.argv[1:]
    own = package("bulkhead", version, "MIT", "NOASSERTION")
    parts = static_packages() + loaded_packages(program)
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or said("git", "-C", str(ROOT), "log", "-1", "--format=%ct"))
    commit = said("git", "-C", str(ROOT), "rev-parse", "HEAD")
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"bulkhead-{version}",
        "documentNamespace": f"https://spdx.org/spdxdocs/bulkhead-{version}-{commit}",
        "creationInfo": {"created": datetime.fromtimestamp(epoch, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"), "creators": ["Tool: scripts/sbom.py"]},
        "packages": [own, *parts],
        "relationships": [
            {"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": own["SPDXID"]},
            *({"spdxElementId": own["SPDXID"], "relationshipType": "DEPENDS_ON", "relatedSpdxElement": part["SPDXID"]} for part in parts),
        ],
    }
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
