# What the scripts of a case share. To be sourced; then the folder of the case is the working directory.
set -euo pipefail
cd "$(dirname "$0")"

# Paths of the API below which the case's own objects lie.
core=/api/v1/namespaces/$NS
apps=/apis/apps/v1/namespaces/$NS
batch=/apis/batch/v1/namespaces/$NS
network=/apis/networking.k8s.io/v1/namespaces/$NS
autoscaling=/apis/autoscaling/v2/namespaces/$NS
cases=/apis/cases.example.com/v1/namespaces/$NS

k() { kubectl -n "$NS" "$@" >/dev/null; }
# Deploys declared.yaml as one of the usual tools does: see deploy.py.
deploy() { python3 ../lib/deploy.py "$@"; }
# Sends what another client than kubectl would: see request.py.
request() { python3 ../lib/request.py "$@"; }
# Waits until a command succeeds, for controllers and admission policies that need a moment.
until_true() {
  for _ in $(seq 300); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done
  echo "not within 30 s: $*" >&2
  return 1
}
