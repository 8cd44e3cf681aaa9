"""The journal's thin path: what is accepted is there, with its bytes, in the order of commits."""

from __future__ import annotations

from hashlib import sha256

from broker.store.journal import Entry, Receipt, verify


def test_what_was_accepted_is_there_with_its_bytes(journal, reader):
    entry = Entry(
        b"MSH|^~\\&|A|B", 7, "north_adt", "10.0.0.9", "ADT", "A03", "C1", "A|B", "20260305", "P", "2.5.1",
        "UNICODE UTF-8", "AA", "", "bundle", "",
    )  # fmt: skip
    receipt = journal.accept(entry)
    row = reader.fetch(receipt.stream, receipt.seq)
    assert Receipt(row.stream, row.seq, row.at) == receipt
    assert row.raw == entry.raw and row.size == len(entry.raw)
    assert row.digest == sha256(entry.raw).hexdigest()
    assert row[3:18] == entry[1:]
    assert reader.greatest() == {receipt.stream: 1}


def test_a_run_is_in_the_order_of_commits(journal, reader):
    receipts = journal.accept_all(Entry(b"%d" % n, n % 64, "c") for n in range(500))
    run = reader.read({}, range(-2, 64), 1000, 1 << 30)
    assert [row.raw for row in run.rows] == [b"%d" % n for n in range(500)]
    assert [(row.stream, row.seq, row.at) for row in run.rows] == receipts
    stream = receipts[0].stream
    assert run.upto == {(slot, stream): 500 for slot in range(-2, 64)}
    assert reader.read(run.upto, range(-2, 64), 1000, 1 << 30).rows == []


def test_the_chain_holds(journal, reader):
    journal.accept_all(Entry(b"%d" % n, n % 64, "c") for n in range(300))
    assert list(verify(reader)) == []
