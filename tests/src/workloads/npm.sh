# A project with npm, from a registry of its own: two packages, the one with the other and a command.
mkdir registry && cd registry
pack() { # a package's archive, as a registry has it: name, dependencies, further fields, the module
    mkdir -p "$1/package"
    printf '{"name":"%s","version":"1.0.0","dependencies":{%s}%s}' "$1" "$2" "$3" > "$1/package/package.json"
    echo "$4" > "$1/package/index.js"
    tar -czf "$1.tgz" --sort=name --mtime=@0 --owner=0 --group=0 -C "$1" package
}
pack right '' '' 'module.exports = 21;'
pack left '"right":"^1.0.0"' ',"bin":{"left":"index.js"}' '#!/usr/bin/env node
module.exports = 2 * require("right");
if (require.main === module) console.log(module.exports);'
cat > serve.js <<'J'
const fs = require('fs'), crypto = require('crypto'), zlib = require('zlib'), { execFileSync } = require('child_process');
require('http').createServer((request, reply) => {
    const [, name, archive] = request.url.split('/');
    if (!/^(left|right)$/.test(name)) return reply.writeHead(404).end('{}');
    const bytes = fs.readFileSync(`${name}.tgz`);
    if (archive) return reply.end(bytes);
    const manifest = JSON.parse(fs.readFileSync(`${name}/package/package.json`));
    manifest.dist = {
        tarball: `http://127.0.0.1:8114/${name}/archive.tgz`,
        integrity: 'sha512-' + crypto.createHash('sha512').update(bytes).digest('base64'),
    };
    reply.end(JSON.stringify({ name, 'dist-tags': { latest: '1.0.0' }, versions: { '1.0.0': manifest } }));
}).listen(8114, '127.0.0.1');
J
node serve.js & registry=$!
cd .. && soon listens 127.0.0.1 8114
mkdir app && cd app
cat > .npmrc <<'T'
registry=http://127.0.0.1:8114/
audit=false
fund=false
update-notifier=false
progress=false
logs-max=0
T
cat > package.json <<'T'
{ "name": "app", "version": "1.0.0", "private": true, "scripts": {
    "postinstall": "echo installed >> ../hooks", "pretest": "left > built", "test": "node left.test.js" } }
T
echo "require('node:test')('left', () => require('node:assert').strictEqual(require('left'), 42));" > left.test.js
npm install -s left
# Installed anew, since what is there is removed first.
npm ci -s && npm test -s > /dev/null && cat built > ../said
ls -A node_modules node_modules/.bin >> ../said
kill $registry && soon gone $registry
rm -rf node_modules ../registry ~/.npm
