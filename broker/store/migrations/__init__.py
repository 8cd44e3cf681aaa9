"""How the schemas came to be: one alembic history for each database, packed with the program."""
