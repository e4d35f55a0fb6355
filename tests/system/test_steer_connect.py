# SPDX-License-Identifier: BSD-3-Clause
"""ipp-steer at a terminal of its own: the prompt, Ctrl-C, completion, history, the bar, top; and the
prompt without a terminal, as a script."""
from __future__ import annotations

import io
import os
import re
import shlex
import signal
import stat
import sys
from typing import Any, Iterator

import pexpect
import pytest

import procs
from cluster import Cluster, under_engines
from steer_cli import (FAILED, INTERRUPTED, NO_CONNECTION, OK, at_terminal, command, environment,
                       start, steer, warm)

pytestmark = pytest.mark.ours_only("our client")
ALL = r"\[all\] >>> "
MORE = r" \.\.\. "


@pytest.fixture(autouse=True)
def warm_engines(cluster: Cluster) -> None:
    warm(cluster)


@pytest.fixture
def prompt(cluster: Cluster) -> Iterator[pexpect.spawn]:
    """A prompt on all engines; left by Ctrl-D when the test has not."""
    child = at_terminal(cluster, "connect")
    child.logfile_read = sys.stdout
    child.expect(ALL)
    yield child
    if child.isalive() and not child.closed:
        child.sendeof()
        child.expect(pexpect.EOF)
    child.close()


def ask(prompt: pexpect.spawn, line: str, answer: str, then: str = ALL) -> None:
    prompt.send(line + "\r")
    prompt.expect(answer)
    prompt.expect(then)


# ---- the prompt ----


def test_answers(prompt: pexpect.spawn) -> None:
    ask(prompt, "6 * 7", r"\[0-3\] 42\r\n")
    ask(prompt, "x = 5", ALL, "")
    ask(prompt, "x + 1", r"\[0-3\] 6\r\n")
    ask(prompt, "1 / 0", r"\[0-3\] ZeroDivisionError: division by zero")
    ask(prompt, "_ + 1", r"\] 7\r\n")
    ask(prompt, "%help", "Tab completes")


def test_choosing_engines(prompt: pexpect.spawn) -> None:
    ask(prompt, "%on 0-1", r"\[0-1\] >>> ", "")
    ask(prompt, "'few'", r"\[0,1\] 'few'", r"\[0-1\] >>> ")
    ask(prompt, "%on", "0-1", r"\[0-1\] >>> ")
    ask(prompt, "%on 9", "there is no engine 9", r"\[0-1\] >>> ")
    ask(prompt, "%on atmosphere", "there is no group 'atmosphere'", r"\[0-1\] >>> ")
    ask(prompt, "%on 2", r"\[2\] >>> ", "")
    ask(prompt, "'one'", r"\n'one'\r\n", r"\[2\] >>> ")
    ask(prompt, "%on all", ALL, "")


def test_an_engine_that_is_gone() -> None:
    with under_engines(3) as cluster:
        warm(cluster)
        steer(cluster, "kill", "--on", "2", "--signal", "KILL", code=None)
        child = at_terminal(cluster, "connect")
        child.expect(ALL)
        ask(child, "%on 2", "engine 2 died")
        ask(child, "%on 1", r"\[1\] >>> ", "")
        child.sendeof()
        child.expect(pexpect.EOF)
        child.close()


def test_errors_stand_once(prompt: pexpect.spawn) -> None:
    for line, said in (("%no_such", "UsageError: [^\r]*\r\n"), ("apply nofunc", "SyntaxError: [^\r]*\r\n"),
                       ("input()", "nobody sits [^\r]*\r\n")):
        prompt.send(line + "\r")
        prompt.expect(said)
        prompt.expect(ALL)
        assert not re.search("Error|nobody", prompt.before or ""), prompt.before


def test_an_observer_at_the_prompt(cluster: Cluster) -> None:
    file = os.path.join(cluster.dir, "watching.json")
    steer(cluster, "invite", "watching", "--role", "observer", "-o", file)
    first, *rest = command(cluster, "connect", file=file)
    child = pexpect.spawn(first, rest, encoding="utf-8", timeout=20, cwd=cluster.dir,
                          env={**environment(cluster), "TERM": "xterm", "NO_COLOR": "1"})
    child.expect("you are observer")
    child.expect("An observer sees status, output and events")
    child.expect(r"\[all\] observer >>> ")
    ask(child, "1 + 1", "PermissionError", r"\[all\] observer >>> ")
    child.sendeof()
    child.expect(pexpect.EOF)
    child.close()
    steer(cluster, "invite", "--revoke", "watching")


def test_statements_of_several_lines(prompt: pexpect.spawn) -> None:
    prompt.send("for i in range(2):\r")
    prompt.expect(MORE + "    ")  # the indent is there already
    prompt.send("print('i is', i)\r")
    prompt.expect(MORE)
    prompt.send("\r")
    prompt.expect("i is 1")
    prompt.expect(ALL)
    prompt.send("text = '''a\r")
    prompt.expect(MORE)
    prompt.send("b'''\r")
    prompt.expect(ALL)
    ask(prompt, "text", r"'a\\nb'")
    ask(prompt, "1 +", "SyntaxError")


def test_umlauts(prompt: pexpect.spawn) -> None:
    ask(prompt, "größe = 'mäßig'; größe", r"\[0-3\] 'mäßig'")


def test_completion(prompt: pexpect.spawn) -> None:
    ask(prompt, "zebra_one = 1; zebra_two = 2", ALL, "")
    prompt.send("zeb")
    for _ in range(10):  # it does not wait long for engines that are busy, as on a machine that is
        prompt.send("\t")
        if prompt.expect([r"zebra_one +zebra_two", pexpect.TIMEOUT], timeout=3) == 0:
            break
    else:
        pytest.fail("nothing is completed")
    ask(prompt, "t\t + 40", r"\[0-3\] 42")
    prompt.send("if True:\r")
    prompt.expect(MORE)
    prompt.send("print(zebra_o\t)\r")
    prompt.expect(MORE)
    prompt.send("\r")
    prompt.expect(r"\[0-3\] 1")
    prompt.expect(ALL)
    ask(prompt, "\t6", r"\[0-3\] 6")  # an indent, where there is nothing to complete


def test_completion_does_not_wait_for_busy_engines(cluster: Cluster, gate: Any) -> None:
    child = at_terminal(cluster, "connect", "--on", "0")
    child.expect(r"\[0\] >>> ")
    wait = f"import os, time\nwhile not os.path.exists({gate.path!r}): time.sleep(0.005)"
    with start(cluster, "exec", "--on", "0", wait) as running:
        procs.wait_until(
            lambda: steer(cluster, "tasks", "--json").json()["engines"]["0"]["queue"], 20, "busy")
        child.send("ab\t")
        child.send("s(-3)\r")  # typed while the engine is silent: nothing is lost
        child.expect("0/1 engines")
        gate.open()
        assert running.wait(20) == OK
    child.expect("3\r\n")
    child.sendeof()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == OK


def test_history(cluster: Cluster) -> None:
    path = os.path.join(cluster.dir, "state", "ippmpi", "history")
    for expected in ("first", "second"):
        child = at_terminal(cluster, "connect")
        child.expect(ALL)
        if expected == "second":
            child.send("\x1b[A\x1b[A")  # the arrow up: %quit, and what was before
            child.send("\r")
        else:
            child.send("'remember ' + 'me'\r")
        child.expect(r"\] 'remember me'")
        child.expect(ALL)
        child.send("%quit\r")
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == OK
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_history_of_several_prompts(cluster: Cluster) -> None:
    """Neither the other prompt nor a terminal that goes away takes lines with it."""
    state = os.path.join(cluster.dir, "several")
    children = [at_terminal(cluster, "connect", env={"XDG_STATE_HOME": state}) for _ in range(2)]
    for child in children:
        child.expect(ALL)
    for child, word in zip(children, ("here", "there")):
        ask(child, f"'from ' + '{word}'", f"from {word}")
    children[0].kill(signal.SIGHUP)
    children[0].expect(pexpect.EOF)
    children[1].send("%quit\r")
    children[1].expect(pexpect.EOF)
    child = at_terminal(cluster, "connect", env={"XDG_STATE_HOME": state})
    child.expect(ALL)
    for presses, word in (2, "there"), (4, "here"):
        child.send("\x1b[A" * presses + "\r")
        child.expect(rf"\] 'from {word}'")
        child.expect(ALL)
    for each in (*children, child):
        each.close()


# ---- pasting ----

PASTED = """\
def answer(x):
    if x:

        done = 'yes'
    return done, '''a
        b'''
"""


def test_pasted_code_is_taken_as_it_is(prompt: pexpect.spawn) -> None:
    prompt.send("\x1b[200~" + PASTED.replace("\n", "\r") + "\x1b[201~\r")
    prompt.expect(ALL)
    ask(prompt, "answer(1)", r"\('yes', 'a\\n        b'\)")
    prompt.send("\x1b[200~'half ' + \x1b[201~'a line'\r")
    prompt.expect(r"\] 'half a line'")
    prompt.expect(ALL)


def test_an_indent_that_is_typed_stands_once(prompt: pexpect.spawn) -> None:
    prompt.send("for i in range(2):\r")
    prompt.expect(MORE + "    ")
    prompt.send("    if i:\r")
    prompt.expect(MORE + "        ")
    prompt.send("        print('i is', i)\r")
    prompt.expect(MORE)
    prompt.send("\r")
    prompt.expect("i is 1")
    prompt.expect(ALL)


# ---- Ctrl-C ----


def test_one_interrupt_reaches_the_engines(prompt: pexpect.spawn) -> None:
    prompt.send("import time; print('here'); time.sleep(100)\r")
    prompt.expect(r"\] here\r\n")
    prompt.sendintr()
    prompt.expect("KeyboardInterrupt")
    prompt.expect(ALL)
    ask(prompt, "'alive'", r"\[0-3\] 'alive'")


STUBBORN = """\
import time
try:
    print('here')
    time.sleep(100)
except KeyboardInterrupt:
    print('no')
    while not os.path.exists({!r}): time.sleep(0.005)
"""


def test_a_second_one_returns_to_the_prompt(
    cluster: Cluster, prompt: pexpect.spawn, gate: Any
) -> None:
    path = os.path.join(cluster.dir, "stubborn.py")
    with open(path, "w") as file:
        file.write("import os\n" + STUBBORN.format(gate.path))
    prompt.send(f"%run {path}\r")
    prompt.expect(r"\] here\r\n")
    prompt.sendintr()
    prompt.expect("Ctrl-C again")
    prompt.expect(r"\] no\r\n")
    prompt.sendintr()
    prompt.expect(ALL)
    gate.open()
    ask(prompt, "'alive'", r"\[0-3\] 'alive'")


def test_an_interrupt_at_the_prompt_drops_the_line(prompt: pexpect.spawn) -> None:
    prompt.send("not_wanted")
    prompt.expect("not_wanted")
    prompt.sendintr()
    prompt.expect(ALL)
    prompt.send("if True:\r")
    prompt.expect(MORE)
    prompt.sendintr()
    prompt.expect(ALL)
    ask(prompt, "'alive'", r"\[0-3\] 'alive'")


def test_exec_is_interrupted_and_given_up(cluster: Cluster, gate: Any) -> None:
    code = "import os\n" + STUBBORN.format(gate.path)
    with start(cluster, "exec", "--on", "1", code) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "here\n"
        running.send_signal(signal.SIGINT)
        assert running.stdout.readline() == "no\n"
        running.send_signal(signal.SIGINT)
        assert running.wait(20) == INTERRUPTED
        gate.open()
    assert steer(cluster, "exec", "--on", "1", "'alive'").out == "'alive'\n"


def test_map_is_interrupted(cluster: Cluster) -> None:
    slow = "lambda x: print('at', x) or __import__('time').sleep(100)"
    with start(cluster, "map", slow, *map(str, range(50))) as running:
        assert running.stderr is not None
        assert "at" in running.stderr.readline()
        running.send_signal(signal.SIGINT)
        said = running.stderr.read()
        assert running.wait(20) == FAILED
    assert "KeyboardInterrupt" in said and "Aborted" in said
    assert said.endswith("items from 16 on were not run\n")  # 4 chunks on each engine
    assert steer(cluster, "exec", "'alive'").out == "[0-3] 'alive'\n"
    assert steer(cluster, "status", "--json").json()["unassigned"] == 0


def test_map_is_given_up(cluster: Cluster, gate: Any) -> None:
    path = os.path.join(cluster.dir, "deaf.py")
    with open(path, "w") as file:
        file.write("import os\ndef deaf(x):\n    " +
                   STUBBORN.format(gate.path).replace("\n", "\n    ").rstrip())
    steer(cluster, "run", path)
    with start(cluster, "map", "--chunk", "1", "--on", "0", "deaf", *map(str, range(6))) as running:
        assert running.stderr is not None
        for said in ("here", "no"):
            while not running.stderr.readline().endswith(f"{said}\n"):
                continue
            running.send_signal(signal.SIGINT)
        said = running.stderr.read()
        assert running.wait(20) == INTERRUPTED
        gate.open()
    assert "item 0: NoAnswer: it was not waited for" in said
    assert "items 1-3 (3): Aborted" in said and said.endswith("items from 4 on were not run\n")
    assert steer(cluster, "exec", "--on", "0", "'alive'").out == "'alive'\n"


# ---- ends ----


@pytest.mark.limit(120)
def test_losses_are_told_at_the_prompt() -> None:
    with under_engines(3) as cluster:
        warm(cluster)
        child = at_terminal(cluster, "connect")
        child.expect(ALL)
        steer(cluster, "kill", "--on", "1", "--signal", "KILL", code=None)
        child.expect("engine 1 is lost")
        ask(child, "'rest'", r"\[0,2\] 'rest'")
        steer(cluster, "shutdown")
        child.expect("the cluster ends")
        child.expect(pexpect.EOF)
        assert ">>>" not in (child.before or "")
        child.close()
        assert child.exitstatus == NO_CONNECTION
        cluster.join()


# ---- scripts ----


@pytest.mark.parametrize("script, out, code", [
    ("1 + 1\n2 + 2\n", "[0-3] 4\n", OK),
    ("def f(x):\n    return 2 * x\n\nf(3)\n", "[0-3] 6\n", OK),
    ("'a'\n%on 1-2\n'b'\n%on 3\n'c'\n", "[0-3] 'a'\n[1,2] 'b'\n'c'\n", OK),
    ("'a'\n1 / 0\n%on 0\n'never'\n", "", FAILED),
    ("%on 9\n'never'\n", "", FAILED),
    ("\n\n", "", OK),
    ("", "", OK),
    ("x = '''\n%one\n'''; x", "[0-3] '\\n%one\\n'\n", OK),
])
def test_scripts(cluster: Cluster, script: str, out: str, code: int) -> None:
    assert steer(cluster, "connect", text=script, code=code).out == out


# ---- other things at a terminal ----


def test_the_bar(cluster: Cluster) -> None:
    child = at_terminal(cluster, "map", "lambda x: __import__('time').sleep(0.2)",
                        *map(str, range(40)))
    child.expect(r"\d+% \|#+ +\| \d+/40 items, \d+(\.\d)?/s, \d+ s left")
    child.expect(pexpect.EOF)
    shown = child.before or ""
    child.close()
    assert child.exitstatus == OK
    assert len(re.findall("None", shown)) >= 1


SLEEP = "lambda x: __import__('time').sleep(0.2)"


@pytest.mark.parametrize("source", ["seq 40 | {}", "{} < numbers"])
def test_the_bar_of_lines(cluster: Cluster, source: str) -> None:
    """The number of lines is known before they are sent, and results in a file leave the bar alone."""
    with open(os.path.join(cluster.dir, "numbers"), "w") as file:
        file.write("".join(f"{i}\n" for i in range(40)))
    run = shlex.join(command(cluster, "map", SLEEP))
    child = pexpect.spawn("sh", ["-c", source.format(run) + " > slept"], encoding="utf-8",
                          timeout=20, cwd=cluster.dir, dimensions=(24, 100),
                          env={**environment(cluster), "TERM": "xterm"})
    child.logfile_read = shown = io.StringIO()
    child.expect(r"\d+% \|#+ +\| \d+/40 items, \d+(\.\d)?/s, \d+ s left")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == OK
    assert "\r\033[K" not in shown.getvalue()  # never wiped, only drawn over
    assert re.search(r"100% \|#+\| 40/40 items, \d+(\.\d)?/s\033\[K\r\n$", shown.getvalue())
    with open(os.path.join(cluster.dir, "slept")) as file:
        assert file.read() == "None\n" * 40


def test_the_bar_of_an_endless_input(cluster: Cluster) -> None:
    run = shlex.join(command(cluster, "map", SLEEP))
    child = pexpect.spawn("sh", ["-c", f"yes 1 | {run} > slept"], encoding="utf-8", timeout=20,
                          cwd=cluster.dir, env={**environment(cluster), "TERM": "xterm"})
    child.expect(r"\r\d+ items, \d+(\.\d)?/s")
    child.sendintr()
    child.expect(r"items from \d+ on were not run")
    child.expect(pexpect.EOF)
    child.close()


def test_no_bar_without_a_terminal(cluster: Cluster) -> None:
    run = steer(cluster, "map", "lambda x: __import__('time').sleep(0.2)", *map(str, range(30)))
    assert run.err == "" and run.out == "None\n" * 30


def test_colours(cluster: Cluster) -> None:
    for env, expected in (({"NO_COLOR": ""}, "\033[36m[0-3]\033[0m 1"), ({}, "[0-3] 1")):
        child = at_terminal(cluster, "exec", "1", env=env)
        child.expect(pexpect.EOF)
        assert expected in (child.before or "")
        assert ("\033" in (child.before or "")) == ("NO_COLOR" in env)
        child.close()


def test_top_lives(cluster: Cluster) -> None:
    child = at_terminal(cluster, "top")
    for _ in range(2):  # it is drawn again
        child.expect("q leaves")
        child.expect("per s")
    child.send("q")
    child.expect(pexpect.EOF)
    assert "\033[?1049l" in (child.before or "")  # the old screen is back
    child.close()
    assert child.exitstatus == OK


def first_child(shell: int) -> int:
    """The process that a shell runs."""
    def look() -> int:
        with open(f"/proc/{shell}/task/{shell}/children") as file:
            children = file.read().split()
        return int(children[0]) if children else 0

    return int(procs.wait_until(look, 20, "a child"))  # type: ignore[call-overload]


@pytest.mark.parametrize("verb, ready", [("top", "per s"), ("connect", ">>> ")])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_the_terminal_is_as_it_was(
    cluster: Cluster, verb: str, ready: str, number: signal.Signals
) -> None:
    if verb == "connect" and number == signal.SIGINT:
        return  # throws away a line and stays
    run = shlex.join(command(cluster, verb))
    child = pexpect.spawn("sh", ["-c", f"{run}; echo code $?; stty -a; :"], encoding="utf-8", timeout=20,
                          cwd=cluster.dir, env={**environment(cluster), "TERM": "xterm"})
    child.expect(ready)
    os.kill(first_child(child.pid), number)
    child.expect(r"code (\d+)")
    assert int(child.match.group(1)) == (0 if number == signal.SIGINT else 128 + number)
    if verb == "top":
        assert "\033[?25h\033[?1049l" in (child.before or "")
    child.expect(pexpect.EOF)
    for mode in ("echo", "icanon", "isig", "icrnl"):
        assert re.search(rf"(?<![-\w]){mode}\b", child.before or ""), child.before
    child.close()


def test_top_is_left_while_it_asks(cluster: Cluster) -> None:
    """A Ctrl-C that comes while the bridge is asked is one too."""
    child = at_terminal(cluster, "top")
    child.expect("per s")
    bridge = cluster.ranks()[0]  # type: ignore[attr-defined]
    os.kill(bridge, signal.SIGSTOP)
    try:
        while child.expect(["per s", pexpect.TIMEOUT], timeout=2) == 0:
            continue  # it draws once a second: when it does not, it is asking, and nobody answers
        child.sendintr()
        procs.wait_until(lambda: "taking the request back" in read_all(child), 10, "it was heard")
    finally:
        os.kill(bridge, signal.SIGCONT)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == OK


def read_all(child: pexpect.spawn) -> str:
    try:
        return str(child.read_nonblocking(10000, 0.1))
    except pexpect.TIMEOUT:
        return ""
