"""`epsiloscope watch` in a terminal: a run that is recorded meanwhile, keys, signals, and the terminal as it was."""

import os
import pty
import signal
import struct
import subprocess
import termios
import time
from fcntl import ioctl

import pytest

from runs import ROOT, program

SECONDS = 60


class Terminal:
    """A pseudo-terminal with the program in it, and what it has written so far."""

    def __init__(self, *arguments, width=100, height=30):
        self.screen, self.inside = pty.openpty()
        self.written = b""
        self.resize(width, height)
        self.before = termios.tcgetattr(self.inside)
        environment = {**os.environ, "TERM": "xterm-256color"}
        environment.pop("NO_COLOR", None)
        self.process = subprocess.Popen(
            [str(program("epsiloscope")), *map(str, arguments)],
            stdin=self.inside,
            stdout=self.inside,
            stderr=subprocess.PIPE,
            env=environment,
            # Its own session, whose terminal this one is.
            preexec_fn=lambda: (os.setsid(), ioctl(0, termios.TIOCSCTTY, 0)),
        )

    def resize(self, width, height):
        ioctl(self.screen, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def read(self):
        """What is written within a moment; without it the program would wait for room."""
        import select

        while select.select([self.screen], [], [], 0.05)[0]:
            try:
                self.written += os.read(self.screen, 65536)
            except OSError:
                return

    def wait_for(self, text):
        end = time.monotonic() + SECONDS
        while text.encode() not in self.written:
            assert time.monotonic() < end, f"no {text!r} in {self.written[-3000:]!r}"
            self.read()

    def type(self, keys):
        os.write(self.screen, keys)

    def end(self):
        """The exit status, after which the terminal has to be as it was."""
        end = time.monotonic() + SECONDS
        while self.process.poll() is None:
            assert time.monotonic() < end, "it does not end"
            self.read()
        self.read()
        assert termios.tcgetattr(self.inside) == self.before, "the terminal is not as it was"
        last = {code: self.written.rfind(code) for code in (b"\x1b[?1049l", b"\x1b[?1049h", b"\x1b[?25h", b"\x1b[?25l")}
        assert last[b"\x1b[?1049l"] > last[b"\x1b[?1049h"] and last[b"\x1b[?25h"] > last[b"\x1b[?25l"]
        os.close(self.screen)
        os.close(self.inside)
        return self.process.returncode


def recording(out, *length):
    """A real recorder at work."""
    command = ["train", "--model", "mlp", *length, "--flush-secs", "0.1", "--magnitudes", 64, "--out", out]
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    command = [str(program("epsiloscope-record")), *map(str, command), "--threads", "1"]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A run that is being recorded until the tests of this module are over."""
    run = tmp_path_factory.mktemp("watched") / "r-begun"
    process = recording(run, "--epochs", 10_000)
    yield run
    process.kill()
    process.wait()


def test_a_run_is_waited_for_drawn_and_followed_to_its_end(tmp_path):
    run = tmp_path / "r-watched"
    terminal = Terminal("watch", run, "--interval", "0.1")
    terminal.wait_for("waiting: no run there yet")
    process = recording(run, "--steps", 40)
    terminal.wait_for("finished")
    assert terminal.end() == 0
    assert process.wait() == 0
    text = terminal.written.decode()
    assert "\x1b[?1049h" in text and "▀" in text, "nothing was drawn"
    # A picture of the end stays after the alternate screen is left.
    last = text.rsplit("\x1b[?1049l", 1)[1]
    assert "step 40" in last and "search ε of adam in [1e" in last and "no fault" in last


@pytest.mark.parametrize("key", [b"q", b"\x03"])
def test_a_key_ends_watching(begun, key):
    terminal = Terminal("watch", begun, "--interval", "0.1")
    terminal.wait_for("recording")
    terminal.type(b"x")
    terminal.type(key)
    assert terminal.end() == 0


def test_a_signal_ends_watching_and_gives_the_terminal_back(begun):
    terminal = Terminal("watch", begun, "--interval", "0.1")
    terminal.wait_for("recording")
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.end() == 128 + signal.SIGTERM


def test_the_page_is_as_wide_as_the_terminal(begun):
    terminal = Terminal("watch", begun, "--interval", "0.1", width=60, height=20)
    terminal.wait_for("recording")
    terminal.written = b""
    terminal.resize(120, 40)
    # The fortieth line is drawn.
    terminal.wait_for("\x1b[40;1H")
    terminal.type(b"q")
    assert terminal.end() == 0


def test_show_draws_in_a_terminal_in_colours(begun):
    terminal = Terminal("show", begun, width=70, height=20)
    while terminal.process.poll() is None:
        terminal.read()
    terminal.read()
    text = terminal.written.decode()
    assert terminal.process.returncode == 0 and "\x1b[0;38;5;" in text and "▀" in text
    assert len(text.splitlines()) == 19
