"""Handoff: an HL7v2 broker for care transitions."""
