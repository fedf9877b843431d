# A virtual machine of its own, which lives: started, looked at, reset, quit by its monitor and by signals.
ask() { # says one thing to the monitor, and prints what comes back
    python3 -c '
import socket, sys, time
monitor = socket.socket(socket.AF_UNIX)
monitor.connect("monitor")
monitor.settimeout(30)
said = ""
def hear():
    global said
    while not said.endswith("(qemu) "):
        more = monitor.recv(4096).decode()
        if not more: return
        said += more
hear()
said = ""
monitor.send(sys.argv[1].encode() + b"\n")
hear()
print(said)
' "$1"
}
start() {
    truncate -s 1M disk
    qemu-system-x86_64 -nodefaults -no-user-config -display none -accel tcg -m 16 -S -name own \
        -drive if=none,id=disk,format=raw,file=disk -monitor unix:monitor,server,nowait \
        -netdev user,id=net,restrict=on -serial file:serial -pidfile pid &
    guest=$!
    soon test -S monitor -a -s pid
}
start
ask 'info status' | grep -o 'VM status: .*' | tr -d '\r' > said
ask cont > /dev/null && ask 'info status' | grep -o 'VM status: .*' | tr -d '\r' >> said
ask stop > /dev/null && ask system_reset > /dev/null
grep -c . "/proc/$guest/maps" > /dev/null && ls "/proc/$guest/fd" > /dev/null && pgrep -x qemu-system-x86 > /dev/null
ask quit > /dev/null && soon gone $guest
start && kill -STOP $guest && kill -CONT $guest && pkill qemu-system-x86 && soon gone $guest
start && kill -9 $guest && soon gone $guest
rm -f disk monitor serial pid
