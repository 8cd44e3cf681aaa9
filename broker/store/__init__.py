"""The two databases, `journal` and `care`, on SQLite and on PostgreSQL. Floor 4: alone talks to them."""
