"""Whatever a message holds, a mapping makes notices of it or refuses it; nothing else comes out."""

from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.errors import BrokerError, MappingError
from broker.hl7 import Message
from broker.mapping import Applied, apply
from broker.mapping.substitute import substitute
from broker.notices import NOTICES
from broker.project import load_project
from tests.mapping.projects import FIXTURES, HERE

PAYLOADS = [
    '""', "{{7*7}}", "{% raw %}", "${jndi:ldap://x}", "{0.__class__}", "%(x)s", "__import__('os')",
    "\\X0D\\MSH|", "\\F\\\\S\\", "a" * 5000, "~" * 200, "^" * 200, "&&&&", "00000000", "99999999999999",
    "20260230", "-1", "1e999", "NaN", "\x00", "\u202e", "'; drop table", "<script>", "=1+1", "../../etc",
]  # fmt: skip
texts = st.one_of(st.sampled_from(PAYLOADS), st.text(max_size=30))


@cache
def shipped():
    return load_project(HERE)


def paths_of(raw):
    message = Message(raw)
    return [f"{name}-{n}" for at, name in enumerate(message.segment_names) if name != "MSH"
            for n in range(1, len(message.fields(at)) + 3)]  # fmt: skip


CASES = {
    "north_discharge": FIXTURES / "north/a03_home.hl7",
    "adt_update": FIXTURES / "north/a08_update.hl7",
    "adt_merge": FIXTURES / "north/a40_merge.hl7",
    "oru_result": FIXTURES / "north/oru_potassium_critical.hl7",
    "adt_allergies": FIXTURES / "north/a60_allergy.hl7",
}


@settings(deadline=None)
@given(st.sampled_from(sorted(CASES)), st.data())
def test_any_value_anywhere_makes_notices_or_a_refusal_with_a_place(name, data):
    made, raw = shipped(), CASES[name].read_bytes()
    changes = data.draw(st.dictionaries(st.sampled_from(paths_of(raw)), texts, max_size=4))
    try:
        message = Message(substitute(raw, changes))
    except BrokerError:
        return
    try:
        applied = apply(made.mappings[name], message, made.sites["north"], made.tables)
    except MappingError as error:
        assert error.code in {
            "missing", "missing_segment", "bad_time", "no_zone", "unknown_code", "same_patient", "bad_value",
        }  # fmt: skip
        assert error.where
        assert not any(value and len(value) > 3 and value in error.text for value in changes.values())
    else:
        assert isinstance(applied, Applied)
        for notice in applied.notices:
            again = NOTICES[type(notice).__name__].model_validate_json(
                notice.model_dump_json(exclude_unset=True)
            )
            assert again.model_dump(exclude_unset=True) == notice.model_dump(exclude_unset=True)
        assert not any(
            value and len(value) > 5 and value in said
            for value in changes.values()
            for said in applied.warnings
        )
