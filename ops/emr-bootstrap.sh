#!/bin/bash
# Bootstrap action for the EMR cluster: makes the Python environment that every run uses. EMR runs it
# on each node of the cluster before it takes steps.
#
#   aws s3 cp ops/emr-bootstrap.sh s3://bucket/scripts/
#   aws emr create-cluster ... --bootstrap-actions \
#       Path=s3://bucket/scripts/emr-bootstrap.sh,Args=[s3://bucket/scripts/requirements.txt]
#
# The argument is optional: a requirements.txt with the packages that the scripts import.
set -euo pipefail

environment=/home/hadoop/myenv
requirements=${1-}

python3 -m venv "$environment"
"$environment/bin/pip" install --quiet --upgrade pip
if [ -n "$requirements" ]; then
	aws s3 cp "$requirements" /tmp/requirements.txt
	"$environment/bin/pip" install --quiet --requirement /tmp/requirements.txt
fi
