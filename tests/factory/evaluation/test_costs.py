"""Arms in words: who wins and who loses for no more tokens or seconds."""

from factory.evaluation.costs import HEAD, Arm, told

DIRECT = Arm("direct", "", [1.0] * 40 + [0.0] * 60, out=30, read=36, requests=1, wall=4, cpu=1)
VOTE = Arm("majority", "4", [1.0] * 50 + [0.5] * 20 + [0.0] * 30, out=120, read=144, requests=4, wall=9, cpu=4)
BEST = Arm("best-of", "4", [1.0] * 70 + [0.0] * 30, out=120, read=144, requests=4, passes=4, pass_tokens=1264, wall=12, cpu=5)


def test_a_row_has_every_column_and_the_difference_to_direct() -> None:
    cells = [cell.strip() for cell in BEST.row(DIRECT).strip("|").split("|")]
    assert len(cells) == HEAD.split("\n")[0].count("|") - 1
    assert cells[:3] == ["best-of", "4", "70.0 % [60.4, 78.1]"]  # Wilson's interval of 70 in 100
    assert cells[3].startswith("+30.0 [+21")
    assert cells[4:] == ["120.0", "144", "4.0", "4.0 (1,264)", "12.0", "5.0"]
    assert DIRECT.row(DIRECT).split("|")[4].strip() == ""
    assert VOTE.accuracy == 0.6


def test_a_loser_is_said_to_lose_and_to_whom() -> None:
    loop = Arm("interplay", "evaluated", [1.0] * 45 + [0.0] * 55, out=130, wall=8, cpu=4.5)
    tokens, seconds, cheaper = told([DIRECT, VOTE, BEST, loop], "interplay", "cpu")
    assert tokens.startswith(
        "interplay evaluated (130.0 tokens) loses against best-of 4 (120.0), the best arm of no more tokens: -25.0 [-3"
    )
    assert seconds.startswith(
        "interplay evaluated (4.5 cpu-seconds) loses against majority 4 (4.0), the best arm of no more cpu-seconds: -15.0"
    )
    assert cheaper == "At least as good with the fewest tokens: majority 4, 120.0 against 130.0 of interplay evaluated."


def test_a_winner_and_a_draw_are_told_apart() -> None:
    loop = Arm("interplay", "", [1.0] * 60 + [0.0] * 40, out=50, wall=5, cpu=0.5)
    tokens, seconds, cheaper = told([DIRECT, VOTE, BEST, loop], "interplay", "cpu")
    assert tokens.startswith("interplay (50.0 tokens) wins against direct (30.0), the best arm of no more tokens: +20.0 [+1")
    assert seconds == "interplay (0.5 cpu-seconds): no other arm costs as little."
    assert cheaper.startswith("At least as good with the fewest tokens: majority 4, 120.0")
    same = Arm("interplay", "", [1.0] * 39 + [0.0] * 59 + [1.0, 0.0], out=50, wall=5, cpu=2)
    assert "cannot be told from direct (30.0)" in next(told([DIRECT, same], "interplay", "wall"))
    above = Arm("interplay", "", [1.0] * 100, out=50)
    assert [*told([DIRECT, above], "interplay", "wall")][-1] == "No other arm is as good as interplay."
