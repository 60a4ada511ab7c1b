"""The tests by which models that answer at random are judged: their errors, computed exactly."""

from __future__ import annotations

import pytest
from scipy.stats import binom

from brittle.core.chance import ERROR, GIVING_UP, LEVEL, LOOKS, MOST, STAGES, bar_of, clear, fooled, luck


def shown(share: float, bar: float) -> tuple[float, float]:
    """The chance that a look at a point that fools the model in this share of answers shows it, and the answers that it takes, exactly."""
    going, found, answers = {0: 1.0}, 0.0, 0.0
    for asked in range(1, MOST + 1):
        answers += sum(going.values())
        reached: dict[int, float] = {}
        for won, chance in going.items():
            for more, odds in ((1, share), (0, 1 - share)):
                reached[won + more] = reached.get(won + more, 0.0) + chance * odds
        verdicts = {won: fooled(won, asked - won, bar) for won in reached}
        found += sum(chance for won, chance in reached.items() if verdicts[won])
        going = {won: chance for won, chance in reached.items() if verdicts[won] is None and chance > 1e-16}
    return found, answers


def untouched(wrong: float) -> dict[tuple[int, int], float]:
    """The chances of (wrong answers, answers) about an input that gets wrong answers in this share, exactly."""
    going, ended, before = {0: 1.0}, dict[tuple[int, int], float](), 0
    for asked in STAGES:
        reached: dict[int, float] = {}
        odds = binom.pmf(range(asked - before + 1), asked - before, wrong).tolist()
        for had, chance in going.items():
            for more, often in enumerate(odds):
                reached[had + more] = reached.get(had + more, 0.0) + chance * often
        for had, chance in reached.items():
            if clear(had, asked - had) or asked == MOST:
                ended[had, asked] = chance
        going, before = {had: chance for had, chance in reached.items() if (had, asked) not in ended}, asked
    return ended


@pytest.mark.parametrize("bar", [0.5, 0.57])
def test_a_look_at_a_harmless_point_is_lucky_as_rarely_as_it_says(bar: float) -> None:
    assert 0 < shown(bar, bar)[0] <= LEVEL
    assert shown(bar - 0.1, bar)[0] < LEVEL / 50


def test_all_looks_and_the_bar_together_are_lucky_once_in_a_hundred_samples() -> None:
    assert luck(LOOKS) == pytest.approx(ERROR) == 0.01
    assert luck(30) < 0.0055


@pytest.mark.parametrize("wrong", [0.505, 0.52, 0.55, 0.6, 0.7])
def test_an_input_that_is_wrong_more_often_than_right_is_found_out_or_sets_a_higher_bar(wrong: float) -> None:
    """Else attacks that change nothing would fool it in the end: it is fooled untouched."""
    ended = untouched(wrong)
    assert sum(ended.values()) == pytest.approx(1)
    missed = sum(
        chance for (had, asked), chance in ended.items() if 2 * had <= asked and bar_of(had, asked - had) < wrong
    )
    assert missed <= ERROR / 2
    if wrong == 0.52:
        taken_for_right = sum(chance for (had, asked), chance in ended.items() if 2 * had <= asked)
        assert taken_for_right > 0.1


@pytest.mark.parametrize(
    ("share", "least", "most"), [(1.0, 1.0, 21), (0.9, 0.999, 60), (0.7, 0.98, 220), (0.65, 0.9, 400)]
)
def test_what_fools_the_model_clearly_is_shown_soon(share: float, least: float, most: int) -> None:
    found, answers = shown(share, 0.5)
    assert found >= least
    assert answers <= most


def test_what_does_not_is_left_soon_and_what_does_rarely() -> None:
    assert shown(0.0, 0.5)[1] == 9
    assert shown(0.1, 0.5)[1] < 30
    assert 1 - shown(0.8, 0.5)[0] < GIVING_UP
    assert fooled(21, 0, 0.5) is True
    assert fooled(20, 0, 0.5) is None
    assert fooled(500, 0, 1.0) is False


def test_a_challenger_that_was_found_among_many_needs_more_answers_and_sets_a_higher_bar() -> None:
    needed = {rivals: next(n for n in range(99) if fooled(n, 0, 0.5, rivals)) for rivals in (1, 9, 999)}
    assert needed[1] < needed[9] < needed[999] < 35
    assert bar_of(40, 60) < bar_of(40, 60, rivals=9)
    assert clear(7, 25) > clear(7, 25, rivals=999)
