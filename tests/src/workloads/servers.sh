# Servers for development: reached over both loopback addresses, and ended in each way that is usual.
echo hello > index.html
python3 -m http.server --bind 127.0.0.1 8101 > log1 2>&1 & one=$!
python3 -m http.server --bind ::1 8102 > log2 2>&1 & two=$!
setsid python3 -m http.server --bind 127.0.0.1 8103 > log3 2>&1 & three=$!
python3 -m http.server --bind 127.0.0.1 8104 > log4 2>&1 & four=$!
nohup python3 -m http.server 8105 > log5 2>&1 & five=$!
soon listens 127.0.0.1 8101 && soon listens ::1 8102 && soon listens 127.0.0.1 8103
soon listens 127.0.0.1 8104 && soon listens 127.0.0.1 8105
python3 - > said <<'P'
import urllib.request
for place in ["127.0.0.1:8101", "[::1]:8102", "localhost:8103", "127.0.0.1:8105"]:
    print(urllib.request.urlopen(f"http://{place}/").read())
P
pkill -f 'http.server --bind 127.0.0.1 8101' && soon gone $one
lsof -ti:8102 | xargs kill && soon gone $two
kill -TERM -- -$three && soon gone $three
fuser -s -k 8104/tcp || true
soon gone $four
kill -0 $five && kill -9 $five && soon gone $five
listens 127.0.0.1 8101 && exit 9
# Reloaded: the same port again at once.
python3 -m http.server --bind 127.0.0.1 8101 > log1 2>&1 & one=$!
soon listens 127.0.0.1 8101 && pkill -x python3 && soon gone $one
rm log?
