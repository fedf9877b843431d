# A tmux of its own, a terminal of its own, a debugger and a tracer on its own program.
tmux -L own -f /dev/null new-session -d -s one -x 80 -y 24
tmux -L own send-keys -t one 'echo answer=$((40+2)); sleep 1000' Enter
soon sh -c 'tmux -L own capture-pane -p -t one | grep -q answer=42'
tmux -L own split-window -t one 'sleep 1000' && tmux -L own kill-pane -t one.1
tmux -L own list-panes -a -F '#{pane_pid}' | xargs kill -9
soon sh -c '! tmux -L own has-session -t one 2> /dev/null'
tmux -L own -f /dev/null new-session -d -s two 'sleep 1000'
tmux -L own kill-server
script -q -e -c 'tty > /dev/null; echo to the terminal > /dev/tty; stty -echo; stty echo; ps -o tty= -p $$ > tty' /dev/null \
    > typed
sed -i 's/[0-9]*$//' tty
cat > program.c <<'C'
#include <stdio.h>
#include <unistd.h>
static int twice(int n) { return 2 * n; }
int main(int argc, char **argv) { if (argc > 1) pause(); printf("%d\n", twice(21)); return 0; }
C
gcc -g -o program program.c
gdb -batch -nx -ex 'break twice' -ex run -ex 'print n' -ex 'set var n = 4' -ex continue ./program > gdb.log 2>&1
grep -q '= 21' gdb.log && grep -q '^8$' gdb.log
strace -f -o trace sh -c './program; ./program' > traced && grep -q exit_group trace
# What runs already.
./program wait & waits=$!
soon sh -c "grep -q ^State:.S /proc/$waits/status"
gdb -batch -nx -p $waits -ex bt > gdb.log 2>&1 && grep -q main gdb.log
timeout 3 strace -o trace -p $waits || test $? = 124
ls /proc/$waits/fd > fds && cat /proc/$waits/maps > /dev/null && readlink /proc/$waits/exe > exe
kill $waits && rm trace gdb.log fds
