# An environment with pip in it, and a package installed into it from its source and removed. Pip comes
# unpacked: what `venv` does otherwise, to have pip install and compile itself, is the same work at length.
mkdir -p package && cd package
echo 'def answer(): return 42' > answer.py
printf 'from setuptools import setup\nsetup(name="answer", version="1.0", py_modules=["answer"])\n' > setup.py
cd ..
python3 -m venv --without-pip environment
for wheel in /usr/share/python-wheels/pip-*.whl /usr/share/python-wheels/setuptools-*.whl; do
    python3 -m zipfile -e "$wheel" environment/lib/python3.*/site-packages
done
pip="environment/bin/python -m pip --quiet --disable-pip-version-check"
$pip install --no-index --no-build-isolation ./package
(cd / && "$OLDPWD/environment/bin/python" -c 'import answer; print(answer.answer())') > said
$pip uninstall -y answer
rm -rf environment
