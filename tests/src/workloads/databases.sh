# Databases of the project's own: SQLite with both journals, and redis.
python3 - > said <<'P'
import sqlite3
for mode in "wal", "delete", "truncate", "persist":
    base = sqlite3.connect("base.db")
    base.execute(f"pragma journal_mode={mode}")
    base.execute("create table if not exists t (x)")
    for n in range(20):
        base.execute("insert into t values (?)", (n,))
    base.commit()
    base.execute("delete from t where x > 10")
    base.rollback()
    base.execute("vacuum")
    print(mode, base.execute("select count(*) from t").fetchone())
    base.close()
P
sqlite3 base.db '.backup copy.db' && sqlite3 copy.db 'select sum(x) from t' >> said
rm -f base.db*
redis-server --port 8120 --daemonize yes --dir "$PWD" --pidfile "$PWD/redis.pid" --logfile redis.log \
    --unixsocket "$PWD/redis.sock" --appendonly yes > /dev/null
soon redis-cli -p 8120 ping
redis-cli -p 8120 set key value >> said
redis-cli -s redis.sock get key >> said
redis-cli -p 8120 save >> said
redis-cli -p 8120 bgrewriteaof > /dev/null
redis-cli -p 8120 shutdown > /dev/null
rm -rf appendonlydir dump.rdb redis.*
