# Starts what must not be harmed, as its users do, and says which process is what: a file each with
# its number, in $VICTIMS. What still runs is left as it is.
VICTIMS=/run/guard-tests/victims
mkdir -p "$VICTIMS"

runs() { # whether a victim runs
    local pid
    { read -r pid < "$VICTIMS/$1"; } 2> /dev/null && ! gone "$pid"
}
is() { # a victim's process
    echo "$2" > "$VICTIMS/$1"
}
by() { # a program in a session of its own: its user, its victim's name, the command
    local user=$1 name=$2 pid
    shift 2
    runs "$name" && return
    HOME=/home/agent setsid setpriv --reuid="$user" --regid="$user" --clear-groups "$@" \
        > /dev/null 2>&1 < /dev/null &
    pid=$!
    is "$name" "$pid"
}

mkdir -p /srv/other /run/postgresql && cd /srv/other
test -e server.js || cat > server.js <<'J'
require('http').createServer((_, r) => r.end('served')).listen(process.argv[2], '127.0.0.1');
J
by agent node node server.js 8788
by agent orchestrator node --disable-proto=delete -e 'setInterval(() => {}, 1e6)'
by agent python python3 -m http.server --bind 127.0.0.1 1234
by other python-of-another python3 -m http.server --bind 127.0.0.1 3001
by agent dev-server python3 -m http.server --bind 127.0.0.1 3000
by agent npm bash -c 'exec -a "npm run dev -- --port 4173" sleep 1000000'
by agent sleeper sleep 3979
by agent redis redis-server --port 6379 --save '' --dir /tmp
by agent vm qemu-system-x86_64 -nodefaults -display none -m 16 -S
if ! runs tmux; then
    HOME=/home/agent setpriv --reuid=agent --regid=agent --clear-groups \
        tmux -f /dev/null new-session -d -s work 'exec sleep 4001' \; split-window 'exec sleep 4002' < /dev/null
    is tmux "$(pgrep -u agent -x 'tmux: server')"
fi
runs pane || is pane "$(pgrep -f '^sleep 4001')"
if ! runs postgresql; then
    chown postgres /run/postgresql && rm -f /var/lib/postgresql/15/main/postmaster.pid
    pg_ctlcluster 15 main start
    is postgresql "$(head -n 1 /var/lib/postgresql/15/main/postmaster.pid)"
fi
for port in 8788 1234 3001 3000 6379; do soon listens 127.0.0.1 "$port"; done
