"""A terminal sees one status line that is rewritten, a log sees plain lines and never long silence."""

import io

import pytest

from coregpt.lab.progress import QUIET_SECONDS, Display, duration


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_line_is_rewritten_and_events_stay() -> None:
    stream = Terminal()
    display = Display(stream)
    display.status("one")
    display.status("two")
    display.event("done")
    display.status("three")
    assert stream.getvalue() == "one\r\x1b[2Ktwo\r\x1b[2Kdone\nthree"


def test_a_log_gets_events_at_once_and_the_status_after_a_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    stream = io.StringIO()
    display = Display(stream)
    display.status("too early")
    display.event("done")
    now[0] += QUIET_SECONDS
    display.status("still here")
    display.status("too early again")
    assert stream.getvalue() == "done\nstill here\n"


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.6, "5 s"), (59.9, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")]
)
def test_durations_are_readable(seconds: float, text: str) -> None:
    assert duration(seconds) == text
