"""The commands, a file a family. Floor 10. `cli.py` puts them together."""
