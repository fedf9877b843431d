# Containers of its own with podman, from an image that is made here.
export XDG_RUNTIME_DIR=/tmp/runtime && mkdir -m 700 $XDG_RUNTIME_DIR
# There is no systemd to ask for cgroups.
cat > containers.conf <<'T'
[containers]
cgroups = "disabled"
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
T
export CONTAINERS_CONF=$PWD/containers.conf
for file in /bin/busybox $(ldd /bin/busybox | grep -o '/[^ ]*'); do install -D "$file" "root$file"; done
ln -s busybox root/bin/sh && mkdir root/etc && echo root:x:0:0::/:/bin/sh > root/etc/passwd
tar -C root -c . | podman import -q - own > /dev/null && rm -rf root
podman run --rm --network none -v "$PWD:/work" own sh -c 'busybox id -u; echo inside > /work/inside; echo gone > /gone' > said
podman run -d --name long --network none own busybox sleep 1000 > /dev/null
podman exec long sh -c 'busybox kill -0 1 && echo it lives' >> said
# `Up 2 seconds ago`: how long is another matter.
podman ps -a --format '{{.Names}} {{.State}}' | cut -d ' ' -f 1,2 >> said
podman kill long > /dev/null && podman rm -f long > /dev/null
podman system reset -f > /dev/null
rm -rf $XDG_RUNTIME_DIR ~/.local ~/.config
