"""What two clocks tell together: never more than what passed, and all of it in the end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.shared.passage import BELIEVED_S, Passage

T = 1_800_000_000.0
HOUR, DAY = 3_600.0, 86_400.0
JUMPS = (600.0, HOUR, 40 * DAY)
START = Passage(T, T)


def days(passage: Passage) -> float:
    return (passage.passed_s - T) / DAY


@pytest.mark.parametrize("jump_s", [*JUMPS, *(-jump_s for jump_s in JUMPS)])
def test_a_clock_that_is_set_while_it_runs_makes_no_time_pass(jump_s: float) -> None:
    now = START.look(T, None).look(T + HOUR, HOUR).look(T + 2 * HOUR + jump_s, HOUR)
    assert now.passed_s == T + 2 * HOUR
    assert not now.doubted_s
    # Nor does it when it is set right again, at once or by the next start.
    assert now.look(T + 3 * HOUR, HOUR).passed_s == T + 3 * HOUR
    again = now.look(T + 3 * HOUR, None)
    assert T + 2 * HOUR <= again.passed_s <= T + 3 * HOUR
    assert not again.doubted_s


@pytest.mark.parametrize("jump_s", JUMPS)
def test_a_clock_that_is_wrong_for_one_start_is_believed_for_a_day_at_most(jump_s: float) -> None:
    wrong = START.look(T + jump_s, None).look(T + jump_s + 8 * HOUR, 8 * HOUR)
    right = wrong.look(T + 9 * HOUR, None)
    assert right.passed_s - T - 9 * HOUR <= min(jump_s, BELIEVED_S)
    later = right.look(T + 200 * DAY, 200 * DAY - 9 * HOUR)
    assert later.passed_s - T - 200 * DAY <= min(jump_s, BELIEVED_S)
    assert not later.doubted_s


@pytest.mark.parametrize("jump_s", JUMPS)
def test_a_clock_that_is_behind_for_one_start_makes_no_time_pass(jump_s: float) -> None:
    wrong = START.look(T - jump_s, None).look(T - jump_s + HOUR, HOUR)
    assert wrong.passed_s == T + HOUR
    right = wrong.look(T + 2 * HOUR, None).look(T + 2 * HOUR + 2 * DAY, 2 * DAY)
    assert right.passed_s == T + 2 * HOUR + 2 * DAY
    assert not right.doubted_s


def test_a_clock_that_was_wrong_at_the_start_and_is_set_right_meanwhile() -> None:
    wrong = START.look(T + 40 * DAY, None)
    assert (wrong.passed_s, wrong.doubted_s) == (T, 40 * DAY)
    # Off for an hour, and on for another.
    assert wrong.look(T + 2 * HOUR, HOUR).passed_s == T + 2 * HOUR
    late = wrong.look(T + 3 * DAY + HOUR, HOUR)  # off for three days
    assert (late.passed_s, late.doubted_s) == (T + HOUR, 3 * DAY)


def test_a_bot_that_was_off_for_long_believes_it_after_a_day() -> None:
    now = START.look(T + 60 * DAY, None)
    assert (days(now), now.doubted_s) == (0, 60 * DAY)
    for hour in range(1, 24):
        now = now.look(T + 60 * DAY + hour * HOUR, HOUR)
        assert days(now) < 1
    now = now.look(T + 61 * DAY, HOUR)
    assert (days(now), now.doubted_s) == (61, 0)


def test_a_bot_that_is_off_most_of_the_time_believes_it_at_the_next_start() -> None:
    now = START
    for week in range(1, 9):
        now = now.look(T + week * 7 * DAY, None).look(T + week * 7 * DAY + HOUR, HOUR)
        assert days(now) == pytest.approx((week - 1) * 7, abs=0.5)


def test_a_bot_that_crashes_again_and_again_believes_nothing_sooner() -> None:
    now = START
    for second in range(1_000):
        now = now.look(T + 40 * DAY + second, None)
    assert days(now) < 1


def test_a_clock_that_goes_to_and_fro_makes_no_time_pass_twice() -> None:
    now = START
    for _ in range(100):
        now = now.look(T + HOUR, None).look(T + 1, None)
    assert now.passed_s == T + HOUR


@given(
    st.lists(
        st.tuples(
            st.booleans(),  # the look of a new process
            st.floats(0, 5 * DAY),  # since the last look
            st.sampled_from([0.0, 600.0, HOUR, 40 * DAY, -600.0, -HOUR, -40 * DAY]),
        ),
        max_size=40,
    )
)
def test_time_never_goes_back_and_what_was_seen_counts(
    looks: list[tuple[bool, float, float]],
) -> None:
    true_s = wall_s = T
    now, seen_s = START, 0.0
    for starts, passed_s, jump_s in looks:
        true_s += passed_s
        wall_s += passed_s + jump_s
        before = now
        now = now.look(wall_s, None if starts else passed_s)
        seen_s += 0 if starts else passed_s
        assert now.passed_s >= before.passed_s + (0 if starts else passed_s)
    assert now.passed_s >= T + seen_s - 1e-3


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 100 * DAY)), min_size=1, max_size=40))
def test_a_clock_that_is_right_is_believed_in_the_end_and_never_too_much(
    looks: list[tuple[bool, float]],
) -> None:
    true_s, now = T, START
    for starts, passed_s in looks:
        true_s += passed_s
        now = now.look(true_s, None if starts else passed_s)
        assert now.passed_s <= true_s + 1e-3
    now = now.look(true_s + DAY, DAY)
    assert now.passed_s == pytest.approx(true_s + DAY)
