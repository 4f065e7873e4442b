#!/usr/bin/env bash
# Instructions per step (predict_one and learn_one, 10 features) of the two headline configurations,
# counted by callgrind: the difference of two runs, so that start-up and the first steps cancel. The
# start varies by some millions, hence the many steps. valgrind knows no AVX-512: AVX2 is counted.
#
#     benchmarks/instructions.sh [python]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="${1:-python3}"
counts="$(mktemp)"
trap 'rm -f "$counts"' EXIT

count() {  # model, steps
    OPENBLAS_NUM_THREADS=1 PYTHONHASHSEED=0 valgrind --tool=callgrind --callgrind-out-file=/dev/null \
        "$python" benchmarks/throughput.py --steps-only "$1" --steps "$2" 2> "$counts"
    awk '/Collected/ { print $NF }' "$counts"
}

for model in fast default; do
    first="$(count "$model" 2000)"
    second="$(count "$model" 22000)"
    echo "$model: $(((second - first) / 20000)) instructions per step"
done
