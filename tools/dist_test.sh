#!/usr/bin/env bash
# Test on several GPUs (nccl) or, where there is none, on as many CPU processes (gloo).
#   bash tools/dist_test.sh CONFIG CHECKPOINT GPUS [arguments of tools/test.py]
# Several machines: set NNODES, NODE_RANK, MASTER_ADDR and PORT on each.
set -euo pipefail
if [ $# -lt 3 ]; then
    echo "usage: bash tools/dist_test.sh CONFIG CHECKPOINT GPUS [arguments of tools/test.py]" >&2
    exit 2
fi
source "$(dirname "$0")/torchrun.sh"
launch test.py "$1" "$3" "$2" "${@:4}"
