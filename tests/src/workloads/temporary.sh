# Temporary files, memory, locks, pipes and sockets, where programs leave them.
file=$(mktemp) && echo x > "$file" && mv "$file" kept
directory=$(mktemp -d) && touch "$directory/x" && rm -r "$directory"
export TMPDIR=$PWD/own && mkdir own && sort -S 1k < /etc/services > sorted && mktemp > /dev/null && rm -r own
unset TMPDIR
python3 - > said <<'P'
import fcntl, mmap, os, socket, tempfile
memory = os.memfd_create("memory")
os.truncate(memory, 4096)
mapping = mmap.mmap(memory, 4096)
mapping[0] = 7
print(os.pread(memory, 1, 0))
again = os.open(f"/proc/self/fd/{memory}", os.O_RDWR | os.O_TRUNC)
with tempfile.TemporaryFile() as file:
    file.write(b"x")
with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
    file.write(b"x")
lock = open("/tmp/own.lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX)
fcntl.lockf(open("lock", "w"), fcntl.LOCK_EX)
os.unlink("/tmp/own.lock")
for kind in socket.SOCK_STREAM, socket.SOCK_SEQPACKET:
    server = socket.socket(socket.AF_UNIX, kind)
    server.bind("/tmp/own.sock")
    server.listen()
    os.chmod("/tmp/own.sock", 0o600)
    client = socket.socket(socket.AF_UNIX, kind)
    client.connect("/tmp/own.sock")
    client.send(b"through a socket")
    print(server.accept()[0].recv(99))
    os.unlink("/tmp/own.sock")
for address in b"\0own", b"/tmp/own.datagrams":
    server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    server.bind(address)
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"a datagram", address)
    print(server.recv(99))
os.unlink("/tmp/own.datagrams")
for host in "127.0.0.1", "::1":
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server = socket.socket(family, socket.SOCK_DGRAM)
    server.bind((host, 0))
    socket.socket(family, socket.SOCK_DGRAM).sendto(b"over the network", server.getsockname())
    print(server.recv(99))
P
mkfifo /tmp/own.fifo && (echo through a fifo > /tmp/own.fifo &) && cat /tmp/own.fifo >> said && rm /tmp/own.fifo
flock /tmp/own.lock -c 'echo locked' >> said && rm /tmp/own.lock
echo shared > /dev/shm/own && mv /dev/shm/own /dev/shm/moved && rm /dev/shm/moved
ipcs=$(ipcmk -M 4096 | grep -o '[0-9]*$') && ipcrm -m "$ipcs"
ipcs=$(ipcmk -S 2 | grep -o '[0-9]*$') && ipcrm -s "$ipcs"
ipcs=$(ipcmk -Q | grep -o '[0-9]*$') && ipcrm -q "$ipcs"
