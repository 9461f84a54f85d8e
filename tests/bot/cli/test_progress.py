"""Progress is a bar on a terminal and a line now and then elsewhere."""

import io

from bot.cli.progress import ProgressBar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_every_two_seconds_where_there_is_no_terminal() -> None:
    stream, now_s = io.StringIO(), [0.0]
    with ProgressBar("Loading", "B", stream, clock=lambda: now_s[0]) as bar:
        for tenth in range(11):
            now_s[0] = tenth * 0.5
            bar.show(tenth, 10)
    assert stream.getvalue() == "Loading: 40 %\nLoading: 80 %\n"


def test_a_bar_on_a_terminal() -> None:
    stream = Terminal()
    with ProgressBar("Drawing", " steps", stream) as bar:
        for step in range(21):
            bar.show(step, 20)
    assert "Drawing: 100%" in stream.getvalue()
    assert "20/20" in stream.getvalue()
