"""Honest figures: how much is accepted and worked, with every process running. Floor 11."""
