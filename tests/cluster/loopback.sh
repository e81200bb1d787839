#!/bin/bash
# A real `ray up` without a second machine: clusters/on-premise.yaml, with its own file_mounts and setup_commands, against
# an sshd of this script's own on 127.0.0.1; the smoke study through `ray exec`, doctor, the report fetched, `ray down`.
#
#   tests/cluster/loopback.sh                  takes minutes; needs sshd, ssh and rsync, and pip's network for the install
#   LIBRARIES=.venv/lib/python3.11/site-packages tests/cluster/loopback.sh     the node sees these, and downloads little
#
# The node is the same account with another home folder. Its `ray stop` ends what that home has started, and no other Ray.
set -euo pipefail
cd "$(dirname "$0")/../.."
checkout=$PWD
python=${PYTHON:-$checkout/.venv/bin/python}
sshd=$(command -v sshd || echo /usr/sbin/sshd)
place=$(mktemp -d /tmp/loopback.XXXXXX)
node=$place/node client=$place/client
port=${SSH_PORT:-2222}
mkdir -p "$node/.ssh" "$client/.ssh" "$client/.ray"
chmod 700 "$place" "$node" "$client" "$node/.ssh" "$client/.ssh"

# what the node's home has started: servers and workers of Ray, by the environment that they were given
ours() {
    local p
    for p in /proc/[0-9]*; do
        if { tr '\0' '\n' < "$p/environ"; } 2> /dev/null | grep -qx "HOME=$node" &&
            { tr '\0' ' ' < "$p/cmdline"; } 2> /dev/null | grep -qE 'gcs_server|raylet|ray::|ray/(dashboard|_private|autoscaler|util)/'; then
            echo "${p#/proc/}"
        fi
    done
}

finish() {
    local p
    for p in $(ours); do kill -9 "$p" 2> /dev/null || true; done
    if [ -f "$place/sshd.pid" ]; then kill "$(cat "$place/sshd.pid")" 2> /dev/null || true; fi
    rm -rf "$place"
}
trap finish EXIT

ssh-keygen -q -t ed25519 -N '' -f "$place/host_key"
ssh-keygen -q -t ed25519 -N '' -f "$client/.ssh/id"
cp "$client/.ssh/id.pub" "$node/.ssh/authorized_keys"
cat > "$place/sshd_config" << END
Port $port
ListenAddress 127.0.0.1
HostKey $place/host_key
AuthorizedKeysFile $node/.ssh/authorized_keys
PasswordAuthentication no
PermitRootLogin prohibit-password
UsePAM no
StrictModes no
PidFile $place/sshd.pid
SetEnv HOME=$node
END
mkdir -p /run/sshd 2> /dev/null || true
"$sshd" -f "$place/sshd_config" -E "$place/sshd.log"

# Ray's ssh knows no port: a proxy command brings it there
cat > "$place/proxy.py" << 'END'
import socket, sys, threading
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def up():
    while data := sys.stdin.buffer.raw.read(65536):
        s.sendall(data)
    s.shutdown(socket.SHUT_WR)
threading.Thread(target=up, daemon=True).start()
while data := s.recv(65536):
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
END

# an environment that sees libraries which are there already, so that the install downloads nothing large
if [ -n "${LIBRARIES:-}" ]; then
    "$python" -m venv --without-pip "$node/venv"
    readlink -f "$LIBRARIES" > "$(echo "$node"/venv/lib/python3*/site-packages)/libraries.pth"
    for name in pip ray; do
        module=$name
        [ "$name" = ray ] && module=ray.scripts.scripts
        printf '#!/bin/bash\nexec "$HOME/venv/bin/python" -m %s "$@"\n' "$module" > "$node/venv/bin/$name"
        chmod +x "$node/venv/bin/$name"
    done
fi

"$python" - "$place" "$port" << 'END'
import getpass, sys
from pathlib import Path
place, port = Path(sys.argv[1]), sys.argv[2]
text = Path("clusters/on-premise.yaml").read_text()
def put(old, new):
    global text
    assert old in text, old
    text = text.replace(old, new)
put("head_ip: HEAD_IP", "head_ip: 127.0.0.1")
put("  worker_ips:\n    - WORKER_IP", "  worker_ips: []")
put("min_workers: 1", "min_workers: 0")
put("max_workers: 1", "max_workers: 0")
put("ssh_user: ubuntu", f"ssh_user: {getpass.getuser()}\n  ssh_private_key: {place}/client/.ssh/id\n"
    f"  ssh_proxy_command: {sys.executable} {place}/proxy.py 127.0.0.1 {port}")
# other ports than those of a Ray that may run here
put("--port=6379 --object-manager-port=8076", "--port=6391 --object-manager-port=8091 --ray-client-server-port=9991 "
    "--dashboard-port=8291 --dashboard-agent-listen-port=52391 --num-cpus=2")
put("  - ray stop\n", "  - ~/ray-stop\n")
if (place / "node/venv").exists():  # it is there, with its libraries; what is installed is this project alone
    put("  - python3 -m venv ~/venv\n", "  - test -d ~/venv || python3 -m venv ~/venv\n")
    put("pip install -q -e '.[quickstart]'", "pip install -q --no-deps --no-build-isolation -e '.[quickstart]'")
Path(place / "cluster.yaml").write_text(text)
END
cat > "$node/ray-stop" << END
#!/bin/bash
$(declare -f ours)
node=$node
for p in \$(ours); do kill -9 "\$p" 2> /dev/null || true; done
END
chmod +x "$node/ray-stop"

PATH="$(dirname "$python"):$PATH"
export HOME=$client RAY_AUTH_MODE=token PATH
run() {
    echo "== $*"
    local began=$SECONDS
    "$@"
    echo "== took $((SECONDS - began)) s"
}
ray get-auth-token --generate > /dev/null
chmod 600 "$HOME/.ray/auth_token"
run ray up -y "$place/cluster.yaml"
run ray exec "$place/cluster.yaml" 'ray status'
run ray exec "$place/cluster.yaml" 'cd ~/raystudy && RAYSTUDY_CACHE=~/cache python -m raystudy doctor smoke --address auto'
run ray exec "$place/cluster.yaml" 'cd ~/raystudy && RAYSTUDY_CACHE=~/cache python -m raystudy.run smoke --address auto'
# shellcheck disable=SC2088  # the tilde is the node's
run ray rsync-down "$place/cluster.yaml" '~/raystudy/results/smoke/report/' "$place/report/"
test -s "$place/report/report.html"
echo "== the report is here: $(wc -c < "$place/report/report.html") bytes"
# `ray down` runs `ray stop` on the head, which would end every Ray of this account: the node's own takes its place
printf '#!/bin/bash\nif [ "$1" = stop ]; then exec ~/ray-stop; fi\nexec "$HOME/venv/bin/python" -m ray.scripts.scripts "$@"\n' > "$node/venv/bin/ray"
chmod +x "$node/venv/bin/ray"
run ray down -y "$place/cluster.yaml"
left=$(ours)
[ -z "$left" ] || { echo "still there after ray down: $left"; exit 1; }
echo "== all is well"
