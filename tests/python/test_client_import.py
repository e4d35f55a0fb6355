# SPDX-License-Identifier: BSD-3-Clause
"""`import ippmpi` where it cannot work: an ImportError that says what to do."""

import os
import shutil
import subprocess
import sys

import pytest
from fake_engine import ROOM

OLD = "import sys; sys.version_info = (3, 9, 2, 'final', 0); "


def run(code, *path, python=sys.executable):
    """Exit code and standard error of an isolated Python that finds ippmpi, and `path` behind it."""
    told = os.pathsep.join([str(ROOM), *map(str, path)])
    done = subprocess.run(
        [python, "-B", "-c", code],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": told},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stderr


def last_line(code, *path, **options):
    failed, said = run(code, *path, **options)
    assert failed == 1 and said.count("Traceback (most recent call last)") == 1, said
    return said.strip().splitlines()[-1]


def test_an_old_python():
    said = last_line(OLD + "import ippmpi")
    assert said.startswith("ImportError: ippmpi needs Python 3.11 or later, and this is 3.9 (")
    assert sys.executable in said and "ipyparallel" in said


@pytest.mark.parametrize("minor", [8, 9, 10])
def test_a_python_that_is_old(minor):
    python = shutil.which(f"python3.{minor}")
    works = python and subprocess.run([python, "-c", ""], capture_output=True).returncode == 0
    if not works:
        pytest.skip(f"there is no Python 3.{minor}")
    assert f"and this is 3.{minor} (" in last_line("import ippmpi", python=python)


def test_an_engines_python_may_be_older():
    code = OLD + "sys.builtin_module_names += ('_ippmpi_engine',); import ippmpi.engine"
    assert run(code) == (0, "")


def test_no_compiled_half():
    said = last_line("import ippmpi; ippmpi.connect")
    assert said.startswith("ModuleNotFoundError: the compiled half of ippmpi is not installed")
    assert "make install" in said and "PYTHONPATH" in said and "CPython 3.11" in said


def test_a_compiled_half_for_something_else(tmp_path):
    (tmp_path / "ippmpi").mkdir()
    (tmp_path / "ippmpi" / "_steer.so").write_bytes(b"\x7fELF made for another machine")
    said = last_line("import ippmpi; ippmpi.connect", tmp_path)
    assert said.startswith("ImportError: the compiled half of ippmpi does not fit this Python (")
    assert "_steer.so" in said and f"PYTHON3={sys.executable}" in said


def test_other_imports_fail_as_they_do(tmp_path):
    (tmp_path / "ippmpi").mkdir()
    (tmp_path / "ippmpi" / "_steer.py").write_text("import surely_not_there\n")
    said = last_line("import ippmpi; ippmpi.connect", tmp_path)
    assert said == "ModuleNotFoundError: No module named 'surely_not_there'"
