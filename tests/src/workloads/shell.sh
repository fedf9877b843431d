# What shells do all day: jobs, limits, priorities, redirections.
set -m
sleep 1000 & kill %1 && wait %1 || true
sleep 1000 & first=$! && kill -STOP %+ && kill -CONT %+ && kill -0 $first && kill $first && wait || true
(sleep 1000 & sleep 1000 & wait) & group=$!
kill -TERM -- -$group && wait $group || true
set +m
nohup sh -c 'echo kept' > nohup.log 2>&1 && setsid -w sh -c 'echo session' > said
ulimit -n 256 && ulimit -c 0 && (ulimit -v 1000000; true)
nice -n 5 sh -c 'nice' >> said
sleep 1000 & own=$!
renice -n 3 -p $own > /dev/null && taskset -cp 0 $own > /dev/null && ionice -c 3 -p $own
prlimit --pid $own --nofile=100 && chrt -b -p 0 $own && kill $own
timeout 1 sleep 1000 || test $? = 124
timeout -s KILL 1 sh -c 'trap "" TERM; sleep 1000' || true
diff <(echo a) <(echo a) && cat <<< text >> said
cat <<END >> said
a here-document of $((6 * 7))
END
echo lost > /dev/null; echo to standard output > /dev/stdout; echo to standard error > /dev/stderr
echo again > /proc/self/fd/1; echo appended >> /dev/stdout; echo x | tee /dev/stderr >> said
cat < /dev/zero | head -c 4 | od -An -c >> said; head -c 8 /dev/urandom > /dev/full 2> /dev/null || echo full >> said
exec 3> third && echo third >&3 && exec 3>&- && exec 4<> third && echo more >&4 && exec 4>&-
mkfifo pipe && (cat pipe > piped &) && echo through > pipe && soon test -s piped && rm pipe
coproc cat && echo joint >&"${COPROC[1]}" && read -r line <&"${COPROC[0]}" && echo "$line" >> said
xargs -P 4 -n 1 sh -c 'test "$0" -gt 0' <<< '1 2 3 4 5 6 7 8'
trap 'echo caught >> said' USR1 && kill -USR1 $$ && trap - USR1
pgrep -P $$ > /dev/null && kill $(pgrep -P $$ cat) 2> /dev/null || true
ps aux > /dev/null && ps -ef > /dev/null && uptime > /dev/null && free > /dev/null && df > /dev/null && top -b -n 1 > /dev/null
id > /dev/null && hostname > /dev/null && ss -ltn > /dev/null && ip addr > /dev/null && mount > /dev/null
umask 077 && echo private > private && umask 022
kill -0 1 2> /dev/null || true
pgrep -f guard-tests > /dev/null || true
sync -f . && wait || true
