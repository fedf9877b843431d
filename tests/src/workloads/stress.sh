# A load of every kind, small and all at once, with all that it leaves behind removed.
mkdir load && cd load
stress-ng -q --timeout 8 --no-rand-seed --no-oom-adjust --fork 1 --fork-ops 20 --vm 1 --vm-bytes 4m --vm-ops 2 \
    --pipe 1 --pipe-ops 200 --shm 1 --shm-bytes 1m --shm-ops 1 --shm-sysv 1 --shm-sysv-bytes 1m --shm-sysv-ops 1 \
    --sem 1 --sem-ops 50 --sem-sysv 1 --sem-sysv-ops 50 --mq 1 --mq-ops 20 --msg 1 --msg-ops 20 \
    --hdd 1 --hdd-bytes 1m --hdd-ops 2 --link 1 --link-ops 1 --symlink 1 --symlink-ops 1 --rename 1 --rename-ops 20 \
    --dir 1 --dir-ops 1 --mmap 1 --mmap-bytes 1m --mmap-ops 1 --sigq 1 --sigq-ops 20 --kill 1 --kill-ops 20 \
    --utime 1 --utime-ops 10 --flock 1 --flock-ops 10 --fifo 1 --fifo-ops 20 --clone 1 --clone-ops 5 \
    --memfd 1 --memfd-bytes 2m --memfd-ops 1
cd .. && rmdir load
