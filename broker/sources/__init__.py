"""Where messages come from, one file a type. Floor 5."""
