# An environment with pip in it, and a package installed into it from its source and removed.
mkdir -p package && cd package
echo 'def answer(): return 42' > answer.py
printf 'from setuptools import setup\nsetup(name="answer", version="1.0", py_modules=["answer"])\n' > setup.py
cd ..
python3 -m venv environment
pip="environment/bin/python -m pip --quiet --disable-pip-version-check"
$pip install --no-index --no-build-isolation ./package
(cd / && "$OLDPWD/environment/bin/python" -c 'import answer; print(answer.answer())') > said
$pip list --format=freeze > installed
$pip uninstall -y answer
rm -rf environment
