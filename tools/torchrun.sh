# Sourced by dist_train.sh and dist_test.sh: one torchrun command line for both.
# RDZV_ID=any_name finds the machines by themselves: they need no NODE_RANK and may come back.
# MAX_RESTARTS=3 lets a training continue by itself, three times, after a process died.

# launch TOOL CONFIG PROCESSES [arguments after the config]
launch() {
    local tool=$1 config=$2 processes=$3
    shift 3
    # Without this every process starts as many threads as there are cores.
    if [ -z "${OMP_NUM_THREADS:-}" ]; then
        OMP_NUM_THREADS=$(( ($(nproc) + processes - 1) / processes ))
        export OMP_NUM_THREADS
    fi
    local address=${MASTER_ADDR:-127.0.0.1} port=${PORT:-29500} meeting
    meeting=(--node-rank "${NODE_RANK:-0}" --master-addr "$address" --master-port "$port")
    if [ -n "${RDZV_ID:-}" ]; then
        meeting=(--rdzv-backend c10d --rdzv-id "$RDZV_ID" --rdzv-endpoint "$address:$port")
    fi
    exec "${PYTHON:-python}" -m torch.distributed.run \
        --nnodes "${NNODES:-1}" \
        "${meeting[@]}" \
        --nproc-per-node "$processes" \
        --max-restarts "${MAX_RESTARTS:-0}" \
        "$(dirname "${BASH_SOURCE[0]}")/$tool" "$config" --launcher pytorch "$@"
}
