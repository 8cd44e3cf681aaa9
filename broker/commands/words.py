"""The words of the broker, each with its one meaning, as `broker explain` tells them. Floor 10."""

from __future__ import annotations

__all__ = ["ANSWERS", "CODES", "STATES", "WORDS"]

WORDS = {
    "message": "One HL7v2 message: its bytes, and a way to read them by path (PID-5.1).",
    "channel": "A YAML file in channels/: where messages come from, which count, what becomes of them.",
    "mapping": "A YAML file in mappings/: what a message means as a notice (or as another message), with its "
    "examples.",
    "site": "A YAML file in channels/sites/, one facility: identifier authorities, time zone, calendar, "
    "class words, test patients, sensitive units, what differs there.",
    "table": "A CSV file in mappings/tables/: their code, our word, a note.",
    "notice": "A typed clinical fact in our words, as a mapping makes it: Admission, Discharge, Result, ...",
    "notification": "What people are told: one a meaning (patient, encounter, kind), versioned, corrected, "
    "retracted.",
    "delivery": "One thing on its way to one destination: queued, sending, delivered, rejected, doubtful or "
    "given_up.",
    "outcome": "What became of one attempt to deliver: Delivered, Failed, Unclear or Rejected.",
    "change": "What a care rule asks to be stored: open a transition, add a task, withdraw a notice, ...",
    "stream": "The rows of the journal that one writer numbered, in the order of their commits.",
    "slot": "One of 64 ordered queues that the patients are spread over.",
    "patient": "One identity as a hospital numbers it: an authority and its numbers.",
    "person": "The patients that are linked as one. Pages show the person, rows hang on the patient.",
    "journal": "The append-only store of every frame's bytes: whence they came, how they were answered.",
    "care": "Everything that follows from the journal: notices, encounters, plans, tasks, deliveries, audit.",
    "aside": "What is set aside and waits for a person: refused messages, and those of a paused channel.",
    "cursor": "How far one slot of one stream has been worked.",
    "bundle": "A project folder as one immutable whole, named by its digest; every effect names its bundle.",
    "place": "Where a message stands in the order of coming: time, stream and number in it.",
    "quarantine": "Where frames stand that were answered negatively: kept, counted and shown, never mapped.",
    "retracted": "Said of what told somebody: they are told that it no longer holds.",
    "withdrawn": "Said of what was only ours: a task or plan entry that should not have been.",
}

STATES = {
    "worked": "The message was mapped, and what follows from it stands.",
    "repeated": "The message came before: the same channel, sender, control id and bytes. Nothing follows.",
    "filtered": "The message is kept, and of no use here: a rule of `only`, or no mapping for its event.",
    "refused": "The message cannot be used: no patient, no time, no meaning. A person decides.",
    "paused": "The message waits for its channel to be resumed.",
    "queued": "A delivery that waits for its turn, or for its next attempt.",
    "sending": "A delivery whose attempt is under way.",
    "delivered": "The destination said that it has it; the proof is what it answered.",
    "rejected": "The destination read it and said no; a person decides.",
    "doubtful": "It was sent, no answer came, and it may not be sent twice; a person decides.",
    "given_up": "No attempt succeeded within `give_up_hours`; a person decides.",
}

ANSWERS = {
    "AA": "Application accept. The message is on disk (or, with `acknowledge: mapped`, on disk and mapped).",
    "AE": "Application error. The frame is kept in quarantine; ERR says where and why. Send it mended.",
    "AR": "Application reject. Nothing could be kept, or nobody knows. Send it again: that is safe.",
    "CA": "Commit accept (enhanced mode). The message is on disk.",
    "CE": "Commit error (enhanced mode). Nothing could be kept; send it again.",
    "CR": "Commit reject (enhanced mode). A commit cannot follow: the header itself is not acceptable.",
}

CODES: dict[str, str] = {
    "error": "Something that a person can act on; the text says what.",
    "unreadable": "The bytes cannot be read as HL7. They are kept in quarantine and answered AE.",
    "mapping_failed": "The mapping cannot make a notice of the message. It is refused and set aside.",
    "config": "A file of the project folder is wrong: file, line, what was found and what would be right.",
    "store_failed": "The database failed. What was being written may or may not be stored; nothing was "
    "acknowledged.",
    "destination": "A destination cannot be opened with its options.",
    "operation": "The action is not possible as things stand; nothing was changed.",
    "runs_already": "A process of this name runs on the data folder; it holds the lock on its note there.",
    "port_taken": "Another process listens on the port: stop it, or give another port.",
    "fault": "A fault of the broker's own on this one message: it is refused, its neighbours go on.",
    "killed_worker": "The worker died twice with this message alone in hand, so it is refused.",
    "no_channel": "The project has no channel of this name any more, so its message waits aside.",
}
