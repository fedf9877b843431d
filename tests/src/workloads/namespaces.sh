# Containers of its own: mounts in a user namespace, and bubblewrap.
unshare -Urm sh -e -c '
mkdir lower upper work merged bound && echo low > lower/low && mount -t tmpfs none bound
echo temporary > bound/x && mkdir bound/y && mount --bind lower bound/y && cat bound/y/low > said
mount -t tmpfs none upper && mkdir upper/upper upper/work
mount -t overlay -o lowerdir=lower,upperdir=upper/upper,workdir=upper/work none merged
echo high > merged/high && rm merged/low && ls merged >> said && umount merged
umount bound/y && umount -l bound && umount upper && hostname > /dev/null
'
unshare -Urpf --mount-proc sh -c 'sleep 1000 & kill -9 $! && ps ax | wc -l' >> said
unshare -Urnu sh -c 'hostname own && hostname && ip link set lo up' >> said
bwrap --ro-bind / / --dev /dev --proc /proc --tmpfs /tmp --bind "$PWD" "$PWD" --unshare-all \
    sh -c 'echo inside > /tmp/x && cat /tmp/x > inside && kill -9 -1; true' || true
rmdir work upper bound
