#!/bin/bash
# A study on the nodes that Slurm gives: Ray runs there for as long as the study does, and no longer.
#
#   sbatch clusters/slurm.sh STUDY [options of raystudy.run]
#
# It needs a folder that all nodes see (results, stages, checkpoints), and there this checkout with its environment:
#   python3 -m venv .venv && .venv/bin/pip install -e '.[quickstart]'
# What a job did not finish, the same command finishes: sbatch it again. `--budget 60h` (worker-hours, so the time times the
# trainings at a time) ends a study in order, with its report, before Slurm ends it without.
#
#SBATCH --job-name=raystudy
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-task=1
#SBATCH --time=08:00:00
set -euo pipefail

here=${SLURM_SUBMIT_DIR:-$PWD}
environment=${RAYSTUDY_VENV:-$here/.venv}
export PATH="$environment/bin:$PATH"
export RAYSTUDY_CACHE=${RAYSTUDY_CACHE:-$here/.cache}
export RAY_USAGE_STATS_ENABLED=0

# A token of this job's own, in a file that nobody else reads. Others of the cluster reach the ports of its nodes, and who
# speaks with Ray may run code under your account.
export RAY_AUTH_MODE=token
RAY_AUTH_TOKEN_PATH=$(umask 077 && mktemp "$here/.ray-token.XXXXXX")
export RAY_AUTH_TOKEN_PATH
trap 'rm -f "$RAY_AUTH_TOKEN_PATH"' EXIT
python -c 'import secrets; print(secrets.token_hex(32), end="")' > "$RAY_AUTH_TOKEN_PATH"

# A port of this job's own as well: on a shared node another job may have a Ray.
port=${RAY_PORT:-$((20000 + ${SLURM_JOB_ID:-0} % 20000))}
nodes=${SLURM_JOB_NUM_NODES:-1}
read -r head < <(scontrol show hostnames "$SLURM_JOB_NODELIST")  # no pipe: it would break when only its first line is read

# `ray symmetric-run` starts Ray on every node, the study on the head once all nodes are there, and stops Ray behind it.
device=cpu
[ -n "${SLURM_GPUS_ON_NODE:-}${SLURM_GPUS_PER_TASK:-}" ] && device=cuda
srun --nodes="$nodes" --ntasks="$nodes" \
    ray symmetric-run --address "$head:$port" --min-nodes "$nodes" --num-cpus "${SLURM_CPUS_PER_TASK:-1}" -- \
    python -m raystudy.run --address auto --set numerics.device="$device" "$@"
