#!/usr/bin/env bash
# EXPECTED: a program can use tritonclient for Triton and kserve for KServe, which serves Triton by the same protocol.
# SEEN: whichever of kserve and tritonclient.grpc is imported second fails with a TypeError: both register messages of the
#   same names in protobuf's one pool, from files that differ. tritonclient.http beside kserve works.
# WHY: pip installs both without a word, and each works alone; a test that imports one of them passes.
# VERSIONS: tritonclient 2.73.0, kserve 0.21.0, protobuf 6.33.6. Seen 2026-11-30.
# OUTPUT (first and second import):
#   tritonclient.grpc, kserve: TypeError, duplicate symbol 'inference.ServerLiveRequest'
#   kserve, tritonclient.grpc: TypeError, duplicate symbol 'inference.ServerLiveRequest'
#   tritonclient.http, kserve: both
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check "tritonclient[grpc,http]==2.73.0" kserve==0.21.0 protobuf==6.33.6
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import subprocess
import sys

PROGRAM = """
import importlib, re, sys
try:
    for name in sys.argv[1:]:
        importlib.import_module(name)
    print("both")
except TypeError as error:
    print("TypeError,", re.search("duplicate symbol '[^']*'", str(error))[0])
"""


def imported(*names):
    done = subprocess.run([sys.executable, "-c", PROGRAM, *names], capture_output=True, text=True, check=True)
    print(f"{', '.join(names)}: {done.stdout.strip()}")
    return done.stdout.strip()


found = [imported("tritonclient.grpc", "kserve"), imported("kserve", "tritonclient.grpc")]
control = imported("tritonclient.http", "kserve")
assert all("duplicate symbol" in one for one in found), "both can be imported now"
assert control == "both", "the control has changed"
PY
