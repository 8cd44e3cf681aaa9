"""From facts to what should be so. Floor 3: pure."""
