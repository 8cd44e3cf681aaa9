import json

import pytest

from broker.commands.files import messages_of


def message(number):
    return f"MSH|^~\\&|N|NORTH|||20260305||ADT^A08|N{number}|P|2.5.1\rPID|1||{number}^^^NORTH^MR\r"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "many.hl7"
    path.write_text("".join(message(number).replace("\r", "\n") for number in range(30)))
    return path


def test_every_message_is_sent_in_order_and_its_answer_checked(broker, listener, file):
    sent = broker("send", file, "--to", listener.at, "--json")
    assert sent.exit_code == 0
    assert json.loads(sent.stdout)["codes"] == {"AA": 30}
    assert listener.taken == [message(number).encode() for number in range(30)]


def test_many_connections_send_everything_once(broker, listener, file):
    sent = broker("send", file, "--to", listener.at, "--connections", 8, "--times", 2)
    assert sent.exit_code == 0
    assert sorted(listener.taken) == sorted(message(number).encode() for number in [*range(30)] * 2)
    assert "60 AA" in sent.stdout


def test_what_was_not_accepted_is_named_with_its_reason_and_the_exit_code_says_so(broker, listener, file):
    accept = listener.answer

    def answer(taken):
        if b"|N3|" in taken:
            return accept(taken).replace(b"MSA|AA", b"MSA|AE")
        if b"|N4|" in taken:
            return accept(taken).replace(b"|N4", b"|N44")
        return accept(taken)

    listener.answer = answer
    sent = broker("send", file, "--to", listener.at, "--json")
    assert sent.exit_code == 1
    problems = {one["control_id"]: one["code"] for one in json.loads(sent.stdout)["problems"]}
    assert problems == {"N3": "AE", "N4": "other id"}


def test_a_peer_that_hangs_up_is_told_and_the_rest_goes_over_a_new_connection(broker, listener, file):
    accept = listener.answer
    listener.answer = lambda taken: None if b"|N7|" in taken else accept(taken)
    sent = broker("send", file, "--to", listener.at, "--json")
    assert json.loads(sent.stdout)["codes"] == {"AA": 29, "no answer": 1}


def test_nobody_listening_is_no_answer(broker, file):
    sent = broker("send", file, "--to", "127.0.0.1:1", "--json")
    assert sent.exit_code == 1
    assert json.loads(sent.stdout)["codes"] == {"no answer": 30}


def test_a_wrong_address_is_said_so(broker, file):
    assert "HOST:PORT is expected" in broker("send", file, "--to", "here").stderr


def test_frames_batches_and_plain_files_are_told_apart(tmp_path):
    path = tmp_path / "file"
    one = message(1).encode()
    for content, expected in (
        (one, [one]),
        (one.replace(b"\r", b"\r\n") + b"\r\n" + one, [one, one]),
        (b"\xef\xbb\xbf" + one, [one]),
        (b"\x0b" + one + b"\x1c\r\x0b" + one + b"\x1c\r", [one, one]),
        (b"BHS|^~\\&\r" + one + b"BTS|1", [b"BHS|^~\\&\r" + one + b"BTS|1\r"]),
    ):
        path.write_bytes(content)
        assert list(messages_of(str(path))) == expected
