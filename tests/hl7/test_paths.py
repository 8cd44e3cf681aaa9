"""How people name a place in a message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import Hl7Error
from broker.hl7 import Path

NUMBER = st.integers(1, 99)
VALUE = st.text("ABCxyz019 .-^&", max_size=6).map(str.strip)
SEGMENT = st.from_regex(r"[A-Z][A-Z0-9]{2}", fullmatch=True)
QUOTED = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=8).map(
    lambda value: '"' + value.replace('"', '""') + '"'
)


@st.composite
def picks(draw, parts):
    conditions = draw(
        st.lists(st.tuples(st.lists(NUMBER, min_size=1, max_size=parts), VALUE | QUOTED), max_size=2)
    )
    text = ",".join(f"{'.'.join(map(str, place))}={value}" for place, value in conditions)
    number = draw(st.just("") | NUMBER.map(lambda number: f"[{number}]"))
    return (f"[{text}]" if text else "") + number


@st.composite
def paths(draw):
    anchor = draw(st.just("") | SEGMENT.map(lambda name: name + "/"))
    head = anchor + draw(SEGMENT) + draw(picks(3)) + f"-{draw(NUMBER)}" + draw(picks(2))
    parts = draw(st.lists(NUMBER, max_size=2))
    return head + "".join(f".{part}" for part in parts)


@given(paths())
def test_a_path_is_written_as_it_was_read(text):
    path = Path.parse(text)
    assert str(path) == text
    assert Path.parse(text) is path


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("MSH-1", ("MSH", 1, 0, 0)),
        ("PID-5.1", ("PID", 5, 1, 0)),
        ("PID-3[2].4.1", ("PID", 3, 4, 1)),
        ("PID-3[5=MR,4.1=NORTH].1", ("PID", 3, 1, 0)),
        ("ROL[3.1=PP]-4", ("ROL", 4, 0, 0)),
        ("OBX[3.1=8867-4]-5", ("OBX", 5, 0, 0)),
        ("ZBE-4", ("ZBE", 4, 0, 0)),
        ("PV1/ROL[3.1=AT]-4.1", ("ROL", 4, 1, 0)),
    ],
)
def test_the_forms_that_people_write(text, place):
    path = Path.parse(text)
    assert (path.segment, path.field, path.component, path.subcomponent) == place


def test_what_a_pick_says():
    path = Path.parse('OBX[3.1=8867-4,5="a,]""b"][2]-5[1.2=X][3]')
    assert [(c.field, c.component, c.subcomponent, c.value) for c in path.segment_conditions] == [
        (3, 1, 0, "8867-4"),
        (5, 0, 0, 'a,]"b'),
    ]
    assert [(c.field, c.component, c.subcomponent, c.value) for c in path.conditions] == [(0, 1, 2, "X")]
    assert (path.segment_number, path.repetition, path.plain) == (2, 3, False)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("pid-5.1", "right would be PID-5.1"),
        ("PID.5.1", "right would be PID-5.1"),
        ("PID5", "right would be PID-5"),
        ("PID-5-1", "right would be PID-5.1"),
        ("PID 5", "right would be PID-5"),
        ("PID", "SEGMENT-FIELD"),
        ("", "SEGMENT-FIELD"),
        ("PID-0", "numbers begin with 1"),
        ("PID-3[0]", "numbers begin with 1"),
        ("PID-3[MR]", "conditions such as 5=MR"),
        ("ROL[PP]-4", "conditions such as 3.1=AT"),
        ("PID-3[]", "conditions such as 5=MR"),
        ("PID-3[2][5=MR]", "before a number"),
        ("PID-3[5=MR][4=X]", "one pair of brackets"),
        ("PID-3[1][2]", "two numbers"),
        ("PID-3[4.1.1=X]", "a component"),
        ("PID-3[5=MR", "SEGMENT-FIELD"),
        ("PID-999999", "numbers begin with 1"),
        ("PV1-3.1.1.1", "SEGMENT-FIELD"),
        ("PID-5.1\n", "SEGMENT-FIELD"),
    ],
)
def test_a_wrong_path_says_what_would_be_right(text, says):
    with pytest.raises(Hl7Error) as caught:
        Path.parse(text)
    assert caught.value.code == "bad_path"
    assert says in caught.value.text


@given(st.text('PIDV1[]=,-./5"\\ ', max_size=20))
def test_whatever_is_written_is_a_path_or_refused(text):
    try:
        assert str(Path.parse(text)) == text
    except Hl7Error as error:
        assert error.code == "bad_path"
