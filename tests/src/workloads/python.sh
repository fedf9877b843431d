# A package with tests: what Python writes beside its sources, and a server for development.
mkdir -p package tests
echo 'def answer(): return 42' > package/__init__.py
cat > tests/test_package.py <<'P'
import unittest, tempfile, pathlib
from package import answer
class Test(unittest.TestCase):
    def test_answer(self):
        with tempfile.TemporaryDirectory() as where:
            (pathlib.Path(where) / "x").write_text(str(answer()))
        self.assertEqual(answer(), 42)
P
touch tests/__init__.py
python3 -m unittest -q 2> tested
python3 -m compileall -q package && rm -rf package/__pycache__ && python3 -m unittest -q 2> /dev/null
sed -i 's/in .*s$/in a moment/' tested
python3 -c '
import multiprocessing, sys
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(sum(pool.map(abs, range(-9, 9))))
' > pool
python3 -c '
from multiprocessing import shared_memory
memory = shared_memory.SharedMemory(create=True, size=4096)
memory.buf[0] = 1
memory.close()
memory.unlink()
'
