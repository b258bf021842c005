#!/usr/bin/env bash
# Train on several GPUs (nccl) or, where there is none, on as many CPU processes (gloo).
#   bash tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]
# Several machines: set NNODES, NODE_RANK, MASTER_ADDR and PORT on each.
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: bash tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]" >&2
    exit 2
fi
source "$(dirname "$0")/torchrun.sh"
launch train.py "$1" "$2" "${@:3}"
