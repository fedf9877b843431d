# A load of every kind, small, with all that it leaves behind removed.
mkdir load && cd load
for kind in "fork 1 --fork-ops 40" "vm 1 --vm-bytes 4m --vm-ops 4" "pipe 1 --pipe-ops 400" \
    "shm 1 --shm-bytes 1m --shm-ops 2" "shm-sysv 1 --shm-sysv-bytes 1m --shm-sysv-ops 2" \
    "sem 1 --sem-ops 100" "sem-sysv 1 --sem-sysv-ops 100" "mq 1 --mq-ops 40" "msg 1 --msg-ops 40" \
    "hdd 1 --hdd-bytes 1m --hdd-ops 4" "link 1 --link-ops 2" "symlink 1 --symlink-ops 2" \
    "rename 1 --rename-ops 40" "dir 1 --dir-ops 2" "mmap 1 --mmap-bytes 1m --mmap-ops 2" \
    "sigq 1 --sigq-ops 40" "kill 1 --kill-ops 40" "chmod 1 --chmod-ops 2" "utime 1 --utime-ops 20" \
    "flock 1 --flock-ops 20" "fifo 1 --fifo-ops 40" "sock 1 --sock-ops 4" \
    "clone 1 --clone-ops 10" "pthread 1 --pthread-ops 20" "xattr 1 --xattr-ops 1" "memfd 1 --memfd-bytes 2m --memfd-ops 2"; do
    # shellcheck disable=SC2086
    stress-ng -q --timeout 20 --no-rand-seed --no-oom-adjust --$kind || exit 9
done
