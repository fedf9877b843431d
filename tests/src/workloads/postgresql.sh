# A PostgreSQL cluster of the project's own.
PATH=/usr/lib/postgresql/15/bin:$PATH
initdb -D base -A trust --no-locale -E UTF8 -N > /dev/null
start() { pg_ctl -D base -w -s -l base.log -o "-k $PWD -p 8130" start; }
start
createdb -h 127.0.0.1 -p 8130 shop
psql -q -h "$PWD" -p 8130 shop -c 'create table t as select generate_series(1, 100) as n'
psql -At -h 127.0.0.1 -p 8130 shop -c 'select sum(n) from t' > said
pgbench -q -i -h "$PWD" -p 8130 shop 2> /dev/null
pgbench -h 127.0.0.1 -p 8130 -t 20 -c 2 shop > /dev/null 2>&1
pg_dump -h "$PWD" -p 8130 -t t shop > dump.sql
pg_ctl -D base -s -m fast stop
start
psql -At -h "$PWD" -p 8130 shop -c 'select count(*) from pgbench_accounts' >> said
kill -INT "$(head -1 base/postmaster.pid)"
soon test ! -e base/postmaster.pid
rm -rf base base.log
