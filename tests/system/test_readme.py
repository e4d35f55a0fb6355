# SPDX-License-Identifier: BSD-3-Clause
"""What README.md shows is what happens: its sessions are taken from it and run as a new user would.

`$ ` begins a command for the shell, at a terminal; what stands below `$ ipp-steer connect` is said
to its prompt; `>>> ` is Python's. Numbers of five digits or more (process ids) stand for any.
"""
from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from typing import Any, Iterator, NamedTuple

import numpy as np
import pexpect
import pytest

from cluster import python
from ipp_cluster import MPI, TOP, ipp_engine
from ippmpi_client import environment
from test_cluster import Terminal, terminal  # noqa: F401  (a fixture)

pytestmark = [pytest.mark.ours_only("it is our README"), pytest.mark.limit(400)]
SECONDS = 240.0
PROMPT = re.compile(r"(\[[^]]*\] (?:>>>|\.\.\.) ?)(.*)")
BAR = re.compile(r"\d+ items, .*/s")
DOCTEST = r"""
import doctest, re, sys, __main__

class Checker(doctest.OutputChecker):
    def check_output(self, want, got, flags):
        pattern = re.sub(r"\d{5,}", r"\\d+", re.escape(" ".join(want.split())))
        return re.fullmatch(pattern, " ".join(got.split())) is not None

test = doctest.DocTestParser().get_doctest(sys.stdin.read(), vars(__main__), "README.md", None, 0)
assert len(test.examples) > 5
sys.exit(doctest.DocTestRunner(Checker(), verbose=False).run(test).failed > 0)
"""


class Step(NamedTuple):
    """A command, and what is said to it or comes from it."""

    command: str
    dialogue: list[str]


def block(title: str) -> list[str]:
    """The first indented block of a section that shows a session."""
    with open(os.path.join(TOP, "README.md")) as file:
        section = file.read().split(f"\n## {title}\n")[1].split("\n## ")[0]
    for found in re.findall(r"(?:^    .*\n)+", section, re.M):
        lines = [line[4:] for line in found.splitlines()]
        if lines[0].startswith(("$ ", ">>> ")):
            return lines
    raise AssertionError(f"README.md shows no session under {title!r}")


def steps(lines: list[str]) -> list[Step]:
    found: list[Step] = []
    for line in lines:
        if line.startswith("$ "):
            found.append(Step(line[2:], []))
        else:
            found[-1].dialogue.append(line)
    return found


class User:
    """Has the programs on PATH, an empty home for clusters, and a folder to work in."""

    def __init__(self, started_by: Terminal, folder: str) -> None:
        self.folder = os.path.join(folder, "work")
        os.mkdir(self.folder)
        path = os.pathsep.join([os.path.dirname(ipp_engine()), os.environ["PATH"]])
        state = os.path.join(folder, "state")
        self.env = {**started_by.env, "PATH": path, "PYTHONPATH": environment()["PYTHONPATH"],
                    "TERM": "xterm", "NO_COLOR": "1", "XDG_STATE_HOME": state}

    def spawn(self, command: str) -> pexpect.spawn:
        child = pexpect.spawn("bash", ["-c", command], env=self.env, encoding="utf-8", cwd=self.folder,
                              timeout=SECONDS, dimensions=(24, 100))
        child.logfile_read = sys.stdout
        return child

    def finish(self, child: pexpect.spawn) -> str:
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 0, child.before
        return str(child.before)

    def run(self, command: str) -> str:
        """A command at a terminal: what it shows. Files that it writes have something in them."""
        shown = self.finish(self.spawn(command))
        words = list(shlex.shlex(command, posix=True, punctuation_chars=True))
        for before, written in zip(words, words[1:]):
            if before in (">", "-o"):
                path = os.path.join(self.folder, written)
                assert os.path.getsize(path) > 0
                assert not written.endswith(".npy") or np.load(path).size > 0
        return shown

    def talk(self, step: Step) -> None:
        """A session at the prompt of ipp-steer."""
        child = self.spawn(step.command)
        prompt = ""
        for line in step.dialogue:
            said = PROMPT.fullmatch(line)
            child.expect_exact(said[1] if said else line)
            if said:
                prompt = said[1]
                child.send(said[2] + "\r")
        child.expect_exact(prompt[-4:])
        child.sendeof()
        self.finish(child)

    def doctest(self, lines: list[str]) -> None:
        done = subprocess.run(
            [python(), "-W", "ignore", "-c", DOCTEST], env=self.env, text=True, cwd=self.folder,
            input="\n".join([*lines, ""]), timeout=SECONDS, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 0, done.stdout


@pytest.fixture
def user(terminal: Terminal, tmp_path: Any) -> Iterator[User]:  # noqa: F811
    made = User(terminal, str(tmp_path))
    yield made
    terminal.run("stop", "--all")


def test_from_a_terminal(user: User) -> None:
    session = steps(block("From a terminal"))
    bars = 0
    assert session[0].command.startswith("ipp-cluster start")
    for step in session:
        if step.dialogue:
            user.run("ipp-steer exec 'import numpy'")  # engines load it at different speeds
            user.talk(step)
        else:
            bars += BAR.search(user.run(step.command)) is not None  # of the map
    commands = "\n".join(step.command for step in session)
    for shown in ("ipp-steer connect", "ipp-steer gather", "ipp-steer map"):
        assert shown in commands
    assert bars == 1


def test_a_first_session(user: User) -> None:
    if MPI == "mpich":
        pytest.skip("it uses mpi4py, and Debian's is made for Open MPI")
    for step in steps(block("A first session")):
        if step.command == "python3":
            user.doctest(step.dialogue)
        else:
            user.run(step.command)


def test_from_python(user: User) -> None:
    lines = block("From Python: ippmpi")
    user.run("ipp-cluster start -n 4")
    user.doctest(lines)
