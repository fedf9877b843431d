# What the scripts of workloads and incidents share.
set -eu
export GIT_AUTHOR_NAME=agent GIT_AUTHOR_EMAIL=agent@example.org
export GIT_COMMITTER_NAME=agent GIT_COMMITTER_EMAIL=agent@example.org
export GIT_AUTHOR_DATE='2026-01-01T00:00:00Z' GIT_COMMITTER_DATE='2026-01-01T00:00:00Z'

soon() { # waits until a command succeeds
    for _ in $(seq 600); do "$@" > /dev/null 2>&1 && return; sleep 0.1; done
    echo "in vain waited for $*" >&2
    return 1
}
listens() { # whether somebody listens on a port of an address
    (exec 3<> "/dev/tcp/$1/$2") 2> /dev/null
}
gone() { # whether a process has ended; nobody may have waited for it yet
    local stat
    { read -r stat < "/proc/$1/stat"; } 2> /dev/null || return 0
    case ${stat##*) } in [ZX]*) return 0 ;; *) return 1 ;; esac
}
