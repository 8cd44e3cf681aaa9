"""A project is loaded whole: what ARCHITECTURE shows works as written, and every error is told at once."""

import shutil
from datetime import date

import pytest

from broker.channel import Care, Outbound
from broker.errors import ConfigErrors, MappingError
from broker.hl7 import Message, header
from broker.mapping import apply
from broker.project import Project, load_project
from broker.project_examples import run_examples
from broker.project_files import STANDARD
from tests.mapping.projects import CHANNEL, FIXTURES, HERE, SITE, errors_of, files, mapping_file, project

NORTH_ADT = """\
channel: North Hospital, admissions and discharges
contact: interfaces@example.org
receive:
  mllp: {port: 2575}
sites: [north, north_rehab]    # chosen by MSH-4, refined by PV1-3.4
acknowledge: stored            # AA as soon as the message is on disk
in_order_of: PID-3             # one patient's messages never overtake each other
only: {MSH-9.1: ADT, MSH-11: P}
deliver:
  care:
    map:
      A01: adt_admission       # short for [{use: adt_admission}]
      A03: north_discharge
      A08:
        - {use: adt_update}
        - {use: north_discharge, when: {PV1-36: {present: yes}, ZDS-2: DC}}
      A13: adt_discharge_cancelled
  lab:
    to: mllp
    host: lab.example.org
    port: 6661
    when: {PV1-2: [I, E]}
    retry: {first_secs: 5, give_up_hours: 72}
"""
WESTSIDE = """\
channel: Notifications to Westside Family Practice's record system
contact: interfaces@example.org
receive:
  notifications: [Admission, Discharge]
deliver:
  ehr:                         # the directory's entries name westside/ehr and an address
    to: mllp
    host: ehr.westside.example
    port: 6662
    map: {Discharge: westside_discharge}
"""
NORTH_DISCHARGE = """\
mapping: North Hospital's A03 is a discharge
produces: Discharge
like: adt_discharge            # the standard mapping; only the differences stand here
fields:
  occurred_at: {first_of: [PV1-45, EVN-6, EVN-2]}
  disposition: {take: PV1-36, table: north_disposition}
  attending.npi: {take: "ROL[3.1=AT]-4.1", trim: yes}
repeats:
  diagnoses:
    each: DG1
    fields: {code: DG1-3.1, text: DG1-3.2, kind: DG1-6}
examples:
  - name: discharged home
    given: north/a03_home.hl7
    expect: {disposition: home, occurred_at: 2026-03-05T14:10:00-05:00}
  - name: a code that our table lacks is kept as it came
    given: north/a03_home.hl7
    with: {PV1-36: "ZZ"}
    expect: {disposition: {unknown: ZZ}}
  - name: no time, no discharge
    given: north/a03_home.hl7
    with: {PV1-45: "", EVN-6: "", EVN-2: ""}
    error: missing
"""
REHAB = SITE + "locations: [NREHAB]\n"
SHOWN = {
    "channels/north.yaml": NORTH_ADT,
    "channels/westside.yaml": WESTSIDE,
    "channels/sites/north_rehab.yaml": REHAB,
    "mappings/north_discharge.yaml": NORTH_DISCHARGE,
    "mappings/tables/north_disposition.csv": "code,word,note\n01,home,\n",
    "mappings/westside_discharge.yaml": (HERE / "mappings/westside_discharge.yaml").read_text(),
}


@pytest.fixture
def folder(tmp_path):
    """The project that ARCHITECTURE shows, in a folder."""
    for name, content in files(SHOWN).items():
        if not name.startswith("mappings/standard/"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(content)
    shutil.copytree(FIXTURES, tmp_path / "fixtures")
    return tmp_path


def test_what_architecture_shows_is_a_project(folder):
    made = load_project(folder)
    channel = made.channels["north"]
    assert channel.receive.port == 2575
    assert channel.sites == ("north", "north_rehab")
    care, lab = channel.deliver["care"], channel.deliver["lab"]
    assert isinstance(care, Care)
    assert isinstance(lab, Outbound)
    assert [use.use for use in care.map["A08"]] == ["adt_update", "north_discharge"]
    assert (lab.to, lab.options.host, lab.retry.give_up_hours) == ("mllp", "lab.example.org", 72)
    assert made.channels["westside"].notifications == ("Admission", "Discharge")
    assert set(made.destinations()) == {"north/lab", "westside/ehr"}
    assert made.mappings["north_discharge"].produces == "Discharge"


def test_its_examples_hold(folder):
    runs = run_examples(load_project(folder), folder)
    assert {run.mapping for run in runs} >= {"north_discharge", "westside_discharge"}
    assert [
        (run.name, run.problems) for run in runs if run.problems and "standard" not in run.place.file
    ] == []


def test_a_destination_that_needs_a_mapping_for_each_kind_is_warned_of():
    (warning,) = [said for said in project(SHOWN).warnings if "Admission" in said]
    assert warning.startswith("channels/westside.yaml:10: Admission has no mapping")


def test_a_bundle_is_a_project_without_a_folder(folder):
    made = load_project(folder)
    again = Project.from_files(made.files())
    assert again.digest == made.digest
    assert again.channels.keys() == made.channels.keys()
    assert again.rules == made.rules
    message = Message((FIXTURES / "north/a03_home.hl7").read_bytes())
    (care, lab) = again.channels["north"].route(message).routes
    assert (care.mapping, lab.delivery) == ("north_discharge", "lab")
    site = again.site_of(again.channels["north"], message)
    found = apply(again.mappings["north_discharge"], message, site, again.tables)
    assert found.notices[0].disposition == "home"


def test_every_byte_of_every_file_is_in_the_digest(folder):
    before = load_project(folder).digest
    table = folder / "mappings/tables/north_disposition.csv"
    table.write_text(table.read_text() + "HX,home_health,\n")
    assert load_project(folder).digest != before
    assert "broker.toml" not in load_project(folder).files()


def test_the_packed_standard_mappings_are_those_of_this_repository():
    assert STANDARD.resolve() == HERE / "mappings/standard"


def test_this_repository_is_a_project_and_all_its_examples_hold():
    made = load_project(HERE)
    assert made.warnings == ()
    runs = run_examples(made, HERE)
    assert len(runs) > 50
    assert [(str(run.place), run.name, run.problems) for run in runs if run.problems] == []


def test_the_site_of_a_message_is_known_by_msh_4_and_refined_by_pv1_3():
    made = project(SHOWN)
    channel = made.channels["north"]
    raw = (FIXTURES / "north/a03_home.hl7").read_bytes()
    assert made.site_of(channel, Message(raw)).name == "north"
    assert made.site_of(channel, Message(raw.replace(b"^NORTH|E|", b"^NREHAB|E|"))).name == "north_rehab"
    assert made.site_for_order(channel, header(raw)).name == "north"
    elsewhere = raw.replace(b"|NORTH|HANDOFF", b"|SOUTH|HANDOFF")
    with pytest.raises(MappingError) as raised:
        made.site_of(channel, Message(elsewhere))
    assert (raised.value.code, raised.value.where) == ("unknown_site", "MSH-4")
    assert made.site_for_order(channel, header(elsewhere)).name == "north"


def channel_with(more, care="deliver: {care: {map: {A03: tried}}}"):
    return {
        "channels/north.yaml": "channel: x\nreceive: {mllp: {port: 2575}}\nsites: [north]\n"
        f"{more}\n{care}\n",
        "mappings/tried.yaml": mapping_file("service: PV1-10"),
    }


@pytest.mark.parametrize(
    ("more", "text", "value", "right", "line"),
    [
        ("sate: quiet", "no such key", "sate", "state", 4),
        ("state: silent", "no such word", "silent", "live", 4),
        ("acknowledge: store", "no such word", "store", "stored", 4),
        ("in_order_of: PID3", "is no path", "PID3", "", 4),
        ("default_charset: latin9", "no character set", "latin9", "", 4),
        ("only: {patient_class: inpatient}", "no such word", "patient_class", "PV1-2", 4),
        ("only: {PV1-2: {in_table: clas}}", "no such table", "clas", "", 4),
        ("answers: {unsuported_event: AR}", "no such cause", "unsuported_event", "unsupported_event", 4),
        ("answers: {unsupported_event: AX}", "no such word", "AX", "A", 4),
        ("answer_to: lab/ack", "no such destination", "lab/ack", "", 4),
    ],
)
def test_what_is_wrong_in_a_channel(more, text, value, right, line):
    errors = errors_of(channel_with(more))
    assert [(text in error.text, error.value, error.place.line) for error in errors] == [(True, value, line)]
    assert right in errors[0].right or right in errors[0].text


@pytest.mark.parametrize(
    ("deliver", "text", "value", "right"),
    [
        ("care: {map: {A03: tride}}", "no such mapping", "tride", "tried"),
        ("care: {map: {A03: {use: tried, whn: {PV1-2: I}}}}", "no such key", "whn", "when"),
        ("care: {map: {A03: {use: tried, for_each: OBX}}}", "no such word", "OBX", "PATIENT"),
        ("care: {map: {A3: tried}}", "an event is expected", "A3", ""),
        ("care: {mapp: {A03: tried}}", "no such key", "mapp", "map"),
        ("lab: {to: mlp, host: h, port: 1}", "no such destination", "mlp", "mllp"),
        ("lab: {to: mllp, host: h, prot: 1}", "no such key", "prot", "port"),
        ("lab: {to: mllp, host: h, port: 1, retyr: {}}", "no such key", "retyr", "retry"),
        ("lab: {to: mllp, host: h, port: 1, retry: {first_secs: soon}}", "a number", "soon", ""),
        ("lab: {to: mllp, host: h, port: 1, map: {Discharge: tried}}", "map is for notifications", "", ""),
        ("l ab: {to: mllp, host: h, port: 1}", "a name has letters", "l ab", ""),
    ],
)
def test_what_is_wrong_in_what_is_delivered(deliver, text, value, right):
    errors = errors_of(channel_with("", f"deliver:\n  {deliver}"))
    found = [error for error in errors if text in error.text and error.value == value]
    assert found, errors
    assert right in found[0].right
    assert found[0].place.line == 6


def test_what_is_wrong_between_files_is_told_all_at_once():
    errors = errors_of(
        {
            "channels/north.yaml": CHANNEL.replace("[north]", "[nort]"),
            "channels/other.yaml": CHANNEL.replace("tried", "oru_result"),
            "channels/sites/north.yaml": SITE.replace("America/New_York", "America/New_Yorc"),
            "mappings/tried.yaml": mapping_file("servise: PV1-10"),
            "mappings/tables/t.csv": "code,word,note,site\nA,b,,nowhere\n",
            "channels/rules/r.yaml": "rules: x\ntasks: {call: {title: Call, owner: nobody, due: {days: 1},"
            " when: {goes_hom: [yes]}}}\n",
        }
    )
    told = {(error.place.file, error.place.line, error.value, error.right) for error in errors}
    assert told >= {
        ("channels/north.yaml", 4, "nort", ""),
        ("channels/sites/north.yaml", 5, "America/New_Yorc", "America/New_York"),
        ("mappings/tried.yaml", 7, "servise", "service"),
        ("mappings/tables/t.csv", 2, "nowhere", ""),
        ("channels/rules/r.yaml", 2, "goes_hom", "goes_home"),
    }
    assert any(error.value == "2575" and "listens on this port" in error.text for error in errors)
    assert any(error.value == "nobody" for error in errors)


@pytest.mark.parametrize(
    ("used", "text"),
    [
        ("deliver: {care: {map: {A03: leaves}}}", "is for what leaves"),
        ("deliver: {ehr: {to: mllp, host: h, port: 1, map: {Discharge: tried}}}", "what leaves has from:"),
        ("deliver: {ehr: {to: mllp, host: h, port: 1, map: {Admission: leaves}}}", "is from Discharge"),
    ],
)
def test_a_mapping_is_used_the_way_it_goes(used, text):
    receive = "{mllp: {port: 2575}}" if "care" in used else "{notifications: [Admission, Discharge]}"
    leaves = SHOWN["mappings/westside_discharge.yaml"]
    more = {
        "channels/north.yaml": f"channel: x\nreceive: {receive}\nsites: [north]\n{used}\n",
        "mappings/tried.yaml": mapping_file("service: PV1-10"),
        "mappings/leaves.yaml": leaves,
    }
    assert any(text in error.text for error in errors_of(more))


def test_events_without_their_undo_and_admissions_alone_are_warned_of():
    made = project(
        {
            "channels/north.yaml": CHANNEL.replace(
                "{A03: tried}", "{A01: adt_admission, A03: adt_discharge}"
            ),
        }
    )
    said = "\n".join(made.warnings)
    for word in ("A11", "A13", "A06", "A08", "A40"):
        assert word in said
    assert all(warning.startswith("channels/north.yaml:7: ") for warning in made.warnings)


def test_rules_and_policy_are_typed_and_versioned_by_their_text():
    rules = """\
        rules: Tasks
        tasks:
          call:
            title: Call the patient
            owner: coordinator
            due: {business_days: 2, after: discharged}
            when: {goes_home: ["yes", verify]}
          pack:
            kind: packet
            title: Transfer packet
            owner: case_manager
            due: {hours: 4, before: expected_discharge}
            when: {disposition: snf}
            urgency: high
        tell:
          discharge:
            notification: Discharge
            recipients: [pcp, coordinator]
        """
    more = {
        "channels/rules/r.yaml": rules,
        "channels/policy.yaml": "readmission_days: 90\ngoes_home: [home]\n",
    }
    made = project({**SHOWN, **more})
    call, pack = made.rules
    assert (call.key, call.kind, call.due.business_days, call.due.after) == ("call", "call", 2, "discharged")
    assert call.when == {"goes_home": ("yes", "verify")}
    assert (pack.kind, pack.due.before, pack.due.hours, pack.urgency) == ("packet", True, 4, "high")
    (tell,) = made.tells
    assert (tell.notification, tell.recipients, tell.urgency) == (
        "Discharge",
        ("pcp", "coordinator"),
        "routine",
    )
    assert made.policy.readmission_days == 90
    assert made.policy.goes_home == {"home"}
    spaced = rules.replace("owner: coordinator\n", "owner:   coordinator   # a note\n", 1)
    assert project({**SHOWN, **more, "channels/rules/r.yaml": spaced}).rules[0].version == call.version
    changed = {
        **SHOWN,
        **more,
        "channels/rules/r.yaml": rules.replace("business_days: 2", "business_days: 3"),
    }
    assert project(changed).rules[0].version != call.version


@pytest.mark.parametrize(
    ("text", "value", "right"),
    [
        ("due: {}", "", ""),
        ("due: {days: 1, hours: 1}", "", ""),
        ("due: {days: 1, after: discharge}", "discharge", "discharged"),
        ("due: {days: 1}, urgency: now", "now", ""),
        ("due: {days: 1}, owner: coordinater", "coordinater", "coordinator"),
    ],
)
def test_what_is_wrong_in_a_rule(text, value, right):
    owner = "" if "owner" in text else "owner: coordinator, "
    rule = f"rules: x\ntasks:\n  call: {{title: x, {owner}{text}, when: {{goes_home: 'yes'}}}}\n"
    (error,) = errors_of({**SHOWN, "channels/rules/r.yaml": rule})
    assert error.place.line == 3
    assert error.value == value or not value
    assert right in error.right


def test_site_facts_are_what_the_care_core_must_know():
    facts = project(SHOWN).site_facts["north"]
    assert (facts.title, str(facts.zone)) == ("North Hospital", "America/New_York")
    assert facts.days_off(date(2026, 11, 26))


def test_settings_are_read_beside_and_their_errors_are_told_too(folder):
    (folder / "broker.toml").write_text("batch_size = 100\n")
    assert load_project(folder).settings.batch_size == 100
    (folder / "broker.toml").write_text("batch_sise = 100\n")
    (folder / "channels/sites/north.yaml").write_text("sit: x\n")
    with pytest.raises(ConfigErrors) as raised:
        load_project(folder)
    assert {error.place.file for error in raised.value.errors} >= {"broker.toml", "channels/sites/north.yaml"}


def test_a_folder_without_channels_is_no_project(tmp_path):
    with pytest.raises(ConfigErrors) as raised:
        load_project(tmp_path)
    assert "no folder channels/" in str(raised.value)


def test_the_examples_of_a_rule_say_when_its_task_stands_and_is_due():
    rules = """\
        rules: Tasks
        tasks:
          call:
            title: Call the patient
            owner: coordinator
            due: {business_days: 2, after: discharged}
            when: {goes_home: ["yes", verify]}
            examples:
              - {name: over a weekend, given: {goes_home: "yes"}, site: north, at: 2026-03-06T14:10:00-05:00,
                 due: 2026-03-10T23:59:59-04:00}
              - {name: not home, given: {goes_home: "no"}, stands: no}
              - {name: wrongly said, given: {goes_home: verify}, stands: no}
              - {name: another day, given: {goes_home: verify}, site: north, at: 2026-03-06T14:10:00-05:00,
                 due: 2026-03-09T23:59:59-04:00}
        """
    made = project({**SHOWN, "channels/rules/r.yaml": rules})
    runs = run_examples(made, HERE, lambda name: name == "call")
    assert [run.problems for run in runs] == [
        (),
        (),
        ("the task stands",),
        ("due: 2026-03-09T23:59:59-04:00 is expected, it is 2026-03-10T23:59:59-04:00",),
    ]
    without = rules.partition("            examples:")[0]
    assert project({**SHOWN, "channels/rules/r.yaml": without}).rules == made.rules
