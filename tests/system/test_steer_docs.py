# SPDX-License-Identifier: BSD-3-Clause
"""The commands of ipp-steer's man page and of README's `From a terminal`, as a reader would type
them. They are taken out of these files: one that does not work fails here."""
from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import Any, Iterator

import numpy as np
import pexpect
import pytest

import procs
from ipp_cluster import TOP, ipp_engine, job_env
from steer_cli import unfold

pytestmark = [pytest.mark.ours_only("our client"), pytest.mark.limit(180)]
MAN = os.path.join(TOP, "docs", "man", "ipp-steer.1")
README = os.path.join(TOP, "README.md")


class Reader:
    """Somebody with a terminal, a home of their own and nothing else."""

    def __init__(self, folder: str) -> None:
        self.folder, self.token = folder, os.urandom(16).hex()
        self.env = {
            **os.environ, **job_env(), procs.MARK: self.token, "HOME": folder,
            "IPYTHONDIR": os.path.join(folder, "ipython"), "TERM": "xterm", "NO_COLOR": "1",
            "LC_ALL": "C.UTF-8", "XDG_STATE_HOME": os.path.join(folder, "state"),
            "PATH": os.path.dirname(ipp_engine()) + os.pathsep + os.environ["PATH"],
        }
        self.env.pop("NOTIFY_SOCKET", None)

    def run(self, command: str) -> str:
        """What it prints; AssertionError when it fails."""
        done = subprocess.run(["bash", "-o", "pipefail", "-c", command], env=self.env, text=True,
                              capture_output=True, timeout=100, cwd=self.folder,
                              stdin=subprocess.DEVNULL)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def prompt(self, command: str) -> pexpect.spawn:
        return pexpect.spawn("bash", ["-c", command], env=self.env, cwd=self.folder, timeout=60,
                             encoding="utf-8", dimensions=(24, 120))


@pytest.fixture
def reader(tmp_path: Any) -> Iterator[Reader]:
    made = Reader(str(tmp_path))
    try:
        yield made
    finally:
        subprocess.run(["bash", "-c", "ipp-cluster stop"], env=made.env, capture_output=True)
        left = procs.marked(made.token)
        procs.kill_all(left)
    assert not left, "processes are left"


def man_blocks(section: str) -> list[list[str]]:
    """Lines of the .nf blocks of a section."""
    with open(MAN) as file:
        text = file.read()
    text = re.search(rf"^\.SH {section}\n(.*?)(?=^\.SH )", text, re.S | re.M).group(1)  # type: ignore
    blocks = re.findall(r"^\.nf\n(.*?)^\.fi$", text, re.S | re.M)
    assert blocks and not re.search(r"\\[^-e]", "".join(blocks)), "another escape of roff's"
    return [block.replace(r"\-", "-").replace(r"\e", "\\").splitlines() for block in blocks]


def test_the_man_pages_examples(reader: Reader) -> None:
    assert shutil.which("jq"), "no jq (Debian: jq)"
    np.save(os.path.join(reader.folder, "data.npy"), np.arange(8.0))
    ran = []
    for block in man_blocks("EXAMPLES"):
        for command in block:
            if "--ssh" in command:
                continue  # another host
            if "step" in command:
                reader.run("ipp-steer push step=17")
            ran.append((command, reader.run(command)))
    said = dict(ran)
    assert len(ran) >= 9
    assert (np.load(os.path.join(reader.folder, "doubled.npy")) == np.arange(8.0) * 2).all()
    with open(os.path.join(reader.folder, "sums")) as file:
        assert [int(line) for line in file] == [sum(range(n)) for n in range(1, 10001)]
    assert said["ipp-steer reduce x max"] == "[12.0, 14.0]\n"
    assert next(out for line, out in ran if "jq" in line) == "".join(f"{e} 17\n" for e in range(4))
    assert os.path.exists(os.path.join(reader.folder, "ippmpi-ada.json"))
    for block in man_blocks("DESCRIPTION"):
        command, *answer = (line.strip() for line in block)
        assert command.startswith("$ ") and len(answer) == 1
        assert reader.run(command[2:]).strip().partition("] ")[2] == answer[0].partition("] ")[2]


def readme_lines() -> list[str]:
    """The indented lines of `From a terminal`."""
    with open(README) as file:
        section = file.read().partition("\n## From a terminal\n")[2].partition("\n## ")[0]
    return [line[4:] for line in section.splitlines() if line.startswith("    ")]


def converse(reader: Reader, command: str, lines: list[str]) -> None:
    """Types what stands behind prompts, and compares what comes then with what stands there."""
    child = reader.prompt(command)
    answers: list[str] = []
    last = [line for line in lines if " >>> " in line][-1].partition(" >>> ")[0] + " >>> "
    for line in [*lines, last]:
        prompt, code = re.fullmatch(r"(\[.*\] >>> )?(.*)", line).groups()  # type: ignore
        if prompt is None:
            answers.append(line)
            continue
        child.expect_exact("\n" + prompt)
        plain = re.sub(r"\033\[[0-9;?]*[A-Za-z]", "", child.before)
        shown = [said for said in plain.splitlines() if re.match(r"\[\d", said)]
        assert unfold("\n".join(shown)) == unfold("\n".join(answers)), child.before
        answers = []
        child.send(code + "\r" if code else "\004")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_readmes_commands(reader: Reader) -> None:
    commands: list[tuple[str, list[str]]] = []
    for line in readme_lines():
        if line.startswith("$ "):
            commands.append((line[2:], []))
        else:
            commands[-1][1].append(line)
    assert len(commands) >= 6
    for command, shown in commands:
        if command.endswith(" connect"):
            assert shown
            converse(reader, command, shown)
        else:
            assert not shown
            reader.run(command)
    assert np.load(os.path.join(reader.folder, "x.npy")).shape == (8, 3)
    with open(os.path.join(reader.folder, "sums")) as file:
        assert [int(line) for line in file] == [sum(range(n * 10)) for n in range(1, 10001)]
    assert os.path.exists(os.path.join(reader.folder, "ippmpi-ada.json"))
