"""A day of two made-up hospitals, played to a real broker. Floor 11."""
