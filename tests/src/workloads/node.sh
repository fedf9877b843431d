# A project for Node.js: tests, servers, children, watchers, workers and a cluster.
cat > sum.js <<'J'
exports.sum = (a, b) => a + b;
J
cat > sum.test.js <<'J'
const test = require('node:test'), assert = require('node:assert'), fs = require('node:fs'), os = require('node:os');
const { sum } = require('./sum.js');
test('sum', () => assert.strictEqual(sum(40, 2), 42));
test('a directory for a moment', () => {
    const place = fs.mkdtempSync(os.tmpdir() + '/sum-');
    fs.writeFileSync(place + '/x', 'x');
    fs.rmSync(place, { recursive: true });
});
J
node --test . > /dev/null
cat > all.js <<'J'
const http = require('http'), fs = require('fs'), cluster = require('cluster');
const { Worker, isMainThread, parentPort } = require('worker_threads');
const { execFileSync, spawn, fork } = require('child_process');
const get = (port, host) => new Promise((done, failed) =>
    http.get({ port, host, agent: false }, r => { let t = ''; r.on('data', d => t += d).on('end', () => done(t)); }).on('error', failed));
const serve = (port, host) => new Promise(done => {
    const server = http.createServer((_, r) => r.end('hello')).listen(port, host, () => done(server));
});
async function main() {
    for (const [port, host] of [[0, '127.0.0.1'], [8110, '::1'], [8111, undefined]]) {
        const server = await serve(port, host);
        console.log(await get(server.address().port, host ?? 'localhost'));
        await new Promise(done => server.close(done));
    }
    console.log(execFileSync('sh', ['-c', 'echo a child']).toString().trim());
    const child = spawn('sleep', ['1000']);
    await new Promise(done => { child.on('exit', (_, signal) => { console.log(signal); done(); }); child.kill(); });
    fs.mkdirSync('watched');
    await new Promise(done => {
        const watcher = fs.watch('watched', () => { watcher.close(); done(); });
        fs.writeFileSync('watched/file', 'x');
    });
    fs.renameSync('watched/file', 'watched/renamed');
    await new Promise(done => new Worker(__filename).on('message', m => { console.log(m); done(); }));
    cluster.setupPrimary({ exec: 'worker.js' });
    const worker = cluster.fork();
    await new Promise(done => worker.on('listening', done));
    console.log(await get(8112, '127.0.0.1'));
    worker.process.kill('SIGTERM');
    await new Promise(done => worker.on('exit', done));
    console.log('done');
}
if (isMainThread) main().catch(e => { console.error(e); process.exit(9); });
else parentPort.postMessage('a thread');
J
echo "require('http').createServer((_, r) => r.end('a worker')).listen(8112, '127.0.0.1')" > worker.js
node all.js > said
# Its own server by name, as agents do it.
node -e "require('http').createServer((_, r) => r.end('x')).listen(8113, '127.0.0.1')" & server=$!
soon listens 127.0.0.1 8113
# Not a part of the name: a kernel's worker can be called after inodes.
pkill -x node && soon gone $server
