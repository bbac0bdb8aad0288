#!/usr/bin/env bash
# Runs the Autobahn fuzzing client against the echo example and fails on any case that is not
# strictly right. Everything it needs goes to target/autobahn: a Python 2.7 environment with the
# suite from PyPI, and the reports (target/autobahn/reports/index.html).
#
#   tests/conformance/run.sh [CASES...]     default: 1-7, 9, 10, 12 and 13
#
# Needs a Python 2.7 with pip: $PYTHON2, python2.7 in the PATH, or one of pyenv's.
set -euo pipefail
cd "$(dirname "$0")/../.."

work="${CARGO_TARGET_DIR:-target}/autobahn"
mkdir -p "$work"
work="$(cd "$work" && pwd)"
cases=("$@")
[ ${#cases[@]} -gt 0 ] || cases=('1.*' '2.*' '3.*' '4.*' '5.*' '6.*' '7.*' '9.*' '10.*' '12.*' '13.*')

python2() {
    local candidate
    for candidate in "${PYTHON2:-}" python2.7 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7*/bin/python2.7; do
        if [ -n "$candidate" ] && "$candidate" -c 'import pip' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "no Python 2.7 with pip found; set PYTHON2" >&2
    return 1
}

if [ ! -x "$work/venv/bin/wstest" ]; then
    python="$(python2)"
    "$python" -m pip install --quiet --disable-pip-version-check --upgrade \
        --target "$work/virtualenv" 'virtualenv<20.22'
    PYTHONPATH="$work/virtualenv" "$python" -m virtualenv --quiet "$work/venv"
    "$work/venv/bin/pip" install --quiet --disable-pip-version-check 'autobahntestsuite==25.10.1'
fi

cargo build --quiet --example echo
: >"$work/echo.log"
"${CARGO_TARGET_DIR:-target}/debug/examples/echo" 127.0.0.1:0 >"$work/echo.log" &
server=$!
trap 'kill "$server" 2>/dev/null || true' EXIT
for _ in $(seq 100); do
    url="$(sed -n 's/^listening on //p' "$work/echo.log")"
    [ -z "$url" ] || break
    sleep 0.1
done
[ -n "$url" ] || { echo "the echo server does not start" >&2; exit 1; }

rm -rf "$work/reports"
printf '%s\n' "${cases[@]}" | "$work/venv/bin/python" -c '
import json, sys
url, reports = sys.argv[1:]
json.dump({
    "outdir": reports,
    "servers": [{"agent": "marketplace", "url": url}],
    "cases": sys.stdin.read().split(),
    "exclude-cases": [],
    "exclude-agent-cases": {},
}, sys.stdout)' "$url" "$work/reports" >"$work/fuzzingclient.json"
(cd "$work" && venv/bin/wstest -m fuzzingclient -s fuzzingclient.json >wstest.log 2>&1) ||
    { tail -n 20 "$work/wstest.log" >&2; exit 1; }

"$work/venv/bin/python" - "$work/reports/index.json" <<'PYTHON'
from __future__ import print_function
import collections, json, sys
results = json.load(open(sys.argv[1]))["marketplace"]
good = ("OK", "INFORMATIONAL")
bad = [case for case, result in results.items()
       if result["behavior"] not in good or result["behaviorClose"] not in good]
for case in sorted(bad, key=lambda case: [int(part) for part in case.split(".")]):
    print("case %s: %s, close %s" % (case, results[case]["behavior"], results[case]["behaviorClose"]))
count = collections.Counter(result["behavior"] for result in results.values())
print(", ".join("%d %s" % (number, behavior) for behavior, number in sorted(count.items())))
print("%d passed, %d failed" % (len(results) - len(bad), len(bad)))
sys.exit(1 if bad or not results else 0)
PYTHON
